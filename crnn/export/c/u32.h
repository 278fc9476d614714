#if defined(__UINT32_TYPE__)
typedef __UINT32_TYPE__ net_u32;
#else
typedef unsigned int net_u32;
#endif
typedef char net_u32_has_4_bytes[sizeof(net_u32) == 4 && sizeof(float) == 4 ? 1 : -1];

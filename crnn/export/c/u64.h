typedef unsigned long long net_u64;
typedef char net_u64_has_8_bytes[sizeof(net_u64) == 8 && sizeof(double) == 8 ? 1 : -1];

/* What a Cortex-M4F of QEMU (machine mps2-an386) needs before main: a vector table, and the
   floating-point unit switched on. Printing and exit are those of newlib by semihosting. */
extern void _start(void);

void reset(void) {
    volatile unsigned *coprocessors = (volatile unsigned *)0xE000ED88; /* CPACR */
    *coprocessors |= 0xFu << 20;
    __asm volatile("dsb\n\tisb");
    _start();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))0x20400000, reset};

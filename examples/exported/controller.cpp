// Reads the inputs of each step from the standard input, and prints the outputs.
#include <cstdio>

#include "pump_controller.hpp"

int main() {
    PumpController pump;
    std::array<float, PUMP_INPUTS> x;
    for (;;) {
        for (float &value : x)
            if (std::scanf("%f", &value) != 1)
                return 0;
        for (float value : pump.step(x))
            std::printf("%.9g ", static_cast<double>(value));
        std::printf("\n");
    }
}

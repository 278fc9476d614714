// A C++ class around a header of crnn.export_c.
#pragma once

#include <array>

#include "pump.h"

// One pump: it holds the state of its network, and nothing else. Copies go on independently.
class PumpController {
public:
    PumpController() { reset(); }

    void reset() { pump_reset(&state_); }

    std::array<float, PUMP_OUTPUTS> step(const std::array<float, PUMP_INPUTS> &x) {
        std::array<float, PUMP_OUTPUTS> y;
        pump_step(&state_, x.data(), y.data());
        return y;
    }

private:
    pump_state state_;
};

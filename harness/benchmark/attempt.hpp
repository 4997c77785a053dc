// What every benchmark here does around its measurement.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>

namespace ipclab {

/// Runs `measure` and tells the library of what it throws: what this machine refuses, and what
/// comes after Ctrl-C, is skipped with the reason; a pair that fails is an error and remembered.
void attempt(benchmark::State& state, const std::function<void()>& measure);

/// Whether a pair failed in an attempt so far.
bool any_failed();

}  // namespace ipclab

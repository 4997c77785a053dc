// What the harness costs, measured: its loop against the one that somebody would write by hand.
//
// The two take turns, in legs of a few milliseconds, between the same two processes, over the same
// descriptors or the same shared memory, with the same buffers and payload. So does a third, the
// harness's loop again: what that seems to cost is what this comparison cannot see (A/A).
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace ipclab {

/// To be registered with one iteration: it times many legs by itself. Its time is what a round trip
/// or a message costs with the harness's loop. Its counters:
///   ratio              of the harness's loop to the one by hand: of each process pair the median
///                      over quads ABBA, of these the median
///   ratio_low, _high   its 95 % interval
///   aa_ratio, aa_half_width    the same for the harness's loop and itself; half its interval
///   bound, within_bound        1.03 + aa_half_width; whether the ratio is no larger (1, else 0)
///   by_hand_ns         what a round trip or a message costs by hand
///   framing_cost       of a pipe: what it costs to send a length with each message, as a share of
///                      what a plain write and read cost; 0.1 for ten per cent
struct OverheadBenchmark {
    std::string name;  ///< overhead/<mechanism>/<pattern>/<size>/<placement>
    std::function<void(benchmark::State&)> measure;
};
std::vector<OverheadBenchmark> overhead_benchmarks();

}  // namespace ipclab

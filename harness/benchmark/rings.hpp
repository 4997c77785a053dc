// The fast ring against its limits: a raw cache-line ping-pong, one core's memcpy, and the
// well-known design of a ring.
//
// Each row is measured against its reference in quads ABBA between the same two processes. Pairs of
// processes that found their CPUs at another distance than most, or moved, do not count.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace ipclab {

/// To be registered with one iteration. Its time is what a round trip or a message costs. Counters:
///   ratio, ratio_low, ratio_high   of a round trip: its time to the reference's; of a stream: its
///                                  rate to the reference's; over process pairs the median, and its
///                                  95 % interval
///   bound, within_bound            what is asked: a round trip at most, a stream at least; missing
///                                  where a row is only shown beside another
///   reference_ns                   what the reference's round trip, message or copy costs
///   publish_every                  messages that are handed over together
struct RingBenchmark {
    std::string name;  ///< ring/<pattern>/<size>/<mechanism>
    std::function<void(benchmark::State&)> measure;
};
std::vector<RingBenchmark> ring_benchmarks();

}  // namespace ipclab

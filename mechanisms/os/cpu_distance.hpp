// How far apart are two CPUs? As far as a cache line takes to go there and come back.
//
// A virtual machine's "two CPUs" may be two threads of one core at one moment and two sockets at
// the next; the same ring then reads 55 or 480 ns. So the distance is measured, not looked up. Each
// side writes a line of its own and watches the other's. Typical round trips: 45 ns between two
// threads of a core, 105 ns between cores that share an L3, 490 ns between cores that do not
// (measured on Zen 4).
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/patience.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace ipclab {

enum class CpuDistance { same_cpu, siblings, shared_l3, far };

constexpr std::string_view name_of(CpuDistance distance) {
    switch (distance) {
    case CpuDistance::same_cpu:
        return "same CPU";
    case CpuDistance::siblings:
        return "siblings";
    case CpuDistance::shared_l3:
        return "shared L3";
    case CpuDistance::far:
        break;
    }
    return "far";
}

constexpr CpuDistance classify_round_trip(double round_trip_ns) {
    if (round_trip_ns < 75) return CpuDistance::siblings;
    return round_trip_ns < 250 ? CpuDistance::shared_l3 : CpuDistance::far;
}

/// Two lines in shared memory, zero at first. Both sides make the same number of round trips.
class CpuDistanceProbe {
  public:
    static constexpr std::uint32_t segments = 10;

    /// Two processes that spin on two CPUs. Returns the median over segments of a round trip, in
    /// ns.
    double ping(std::uint32_t round_trips, Wait& wait) {
        return time_segments(round_trips, [&](std::uint32_t next) {
            there_.store(next, std::memory_order::release);
            watch(back_, next, wait);
        });
    }
    void pong(std::uint32_t round_trips, Wait& wait) {
        for (std::uint32_t i = 0; i < round_trips; ++i) {
            watch(there_, ++last_pong_, wait);
            back_.store(last_pong_, std::memory_order::release);
        }
    }

    /// The same between two processes on one CPU, which sleep and wake each other: what it costs to
    /// change from one to the other, twice.
    double ping_asleep(std::uint32_t round_trips, Wait& wait) {
        return time_segments(round_trips, [&](std::uint32_t next) {
            announce(there_, next);
            sleep_until(back_, next, wait);
        });
    }
    void pong_asleep(std::uint32_t round_trips, Wait& wait) {
        for (std::uint32_t i = 0; i < round_trips; ++i) {
            sleep_until(there_, ++last_pong_, wait);
            announce(back_, last_pong_);
        }
    }

  private:
    using Word = std::atomic<std::uint32_t>;

    double time_segments(std::uint32_t round_trips, auto&& round_trip) {
        std::array<double, segments> ns{};
        std::uint32_t done = 0;
        for (std::uint32_t s = 0; s < segments; ++s) {
            const std::uint32_t end = round_trips * (s + 1) / segments;
            const std::uint32_t count = end - done;
            const auto start = std::chrono::steady_clock::now();
            for (; done < end; ++done) round_trip(++last_ping_);
            const std::chrono::duration<double, std::nano> took =
                std::chrono::steady_clock::now() - start;
            ns[s] = took.count() / std::max(count, 1U);
        }
        std::nth_element(ns.begin(), ns.begin() + segments / 2, ns.end());
        return ns[segments / 2];
    }
    static void watch(const Word& word, std::uint32_t value, Wait& wait) {
        for (std::uint32_t turn = 1; word.load(std::memory_order::acquire) != value; ++turn)
            if (turn % (1U << 20) == 0) wait.glance();
    }
    static void announce(Word& word, std::uint32_t value) {
        word.store(value, std::memory_order::release);
        SystemAtomics::futex_wake(word);
    }
    static void sleep_until(Word& word, std::uint32_t value, Wait& wait) {
        for (std::uint32_t seen = 0; (seen = word.load(std::memory_order::acquire)) != value;) {
            SystemAtomics::futex_wait(word, seen, glance_interval);
            if (word.load(std::memory_order::acquire) == seen) wait.glance();
        }
    }

    alignas(64) Word there_{0};
    alignas(64) Word back_{0};
    alignas(64) std::uint32_t last_ping_ = 0;  // the initiator's own
    alignas(64) std::uint32_t last_pong_ = 0;  // the responder's own
};

}  // namespace ipclab

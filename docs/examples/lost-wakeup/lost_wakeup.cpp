// A wake-up that is lost on purpose; with --mended, one that is not. README.md beside it tells the
// story.
//
// Two processes share a word of message and a bell, a word that is 1 while somebody sleeps on it.
// The sender stores the message, and wakes the waiter if the bell says that it sleeps. There are
// two moments at which the message may come too late to be seen and too early to wake. Luck would
// find them once in a long while; here the waiter stops at one of them until the sender is done.
//
//   cmake --build build/release --target lost-wakeup
//   build/release/docs/examples/lost-wakeup [--mended]
//
// Ends with 0 if every message was received, 1 if a wake-up was lost, 2 if it could not tell.
#include "mechanisms/os/atomics.hpp"
#include "mechanisms/os/error.hpp"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fmt/format.h>
#include <fstream>
#include <new>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using ipclab::must;
using ipclab::SystemAtomics;
using namespace std::chrono_literals;

namespace {

enum class Moment { before_the_bell_is_set, before_the_sleep };
enum class Turn { of_the_waiter, of_the_sender, of_the_waiter_again };

/// All loads and stores of these are sequentially consistent; README.md says why.
struct Shared {
    std::atomic<std::uint32_t> message{0};
    std::atomic<std::uint32_t> bell{0};
    std::atomic<Turn> turn{Turn::of_the_waiter};
};

void say(std::string_view who, std::string_view what) { fmt::print("  {:<9}{}\n", who, what); }

/// Never sleeps: who sleeps here, sleeps on the bell.
void wait_for_turn(const Shared& shared, Turn turn) {
    while (shared.turn.load() != turn) SystemAtomics::yield();
}

void sleep_on(std::atomic<std::uint32_t>& bell, std::uint32_t expected) {
    SystemAtomics::futex_wait(bell, expected, 1h);
}

// ---- the waiter ----

/// Called at both moments; at one of them, once, it lets the sender do all that it has to do.
class Stop {
  public:
    Stop(Shared& shared, Moment moment) : shared_(shared), moment_(moment) {}
    void operator()(Moment here) {
        if (here != moment_ || shared_.turn.load() != Turn::of_the_waiter) return;
        shared_.turn.store(Turn::of_the_sender);
        wait_for_turn(shared_, Turn::of_the_waiter_again);
    }

  private:
    Shared& shared_;
    Moment moment_;
};

void wait_wrongly(Shared& shared, Stop& stop) {
    while (shared.message.load() == 0) {
        say("waiter", "looks: no message");
        stop(Moment::before_the_bell_is_set);
        shared.bell.store(1);
        say("waiter", "sets the bell");
        stop(Moment::before_the_sleep);
        const std::uint32_t whatever_it_is = shared.bell.load();
        say("waiter", "goes to sleep");
        sleep_on(shared.bell, whatever_it_is);
    }
}

void wait_as_one_should(Shared& shared, Stop& stop) {
    while (shared.message.load() == 0) {
        say("waiter", "looks: no message");
        stop(Moment::before_the_bell_is_set);
        shared.bell.store(1);
        say("waiter", "sets the bell");
        if (shared.message.load() != 0) {
            say("waiter", "looks once more: there is a message");
            shared.bell.store(0);
            return;
        }
        say("waiter", "looks once more: no message");
        stop(Moment::before_the_sleep);
        say("waiter", "goes to sleep if the bell is still set");
        sleep_on(shared.bell, 1);
    }
}

// ---- the sender ----

void send(Shared& shared) {
    shared.message.store(1);
    say("sender", "stores the message");
    if (shared.bell.load() == 0) {
        say("sender", "sees no bell set: nobody to wake");
        return;
    }
    shared.bell.store(0);
    SystemAtomics::futex_wake(shared.bell);
    say("sender", "sees the bell set, clears it, wakes whoever sleeps");
}

/// The letter that /proc/PID/stat has behind the name in brackets (proc(5)): R runs or is ready to,
/// S sleeps.
char state_of(pid_t process) {
    std::ifstream file(fmt::format("/proc/{}/stat", process));
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    const auto end_of_name = line.rfind(')');
    return end_of_name == std::string::npos ? '?' : line.at(end_of_name + 2);
}

enum class Outcome { received, lost, unknown };

/// Watches until the waiter ends, or has slept for half a second with the message before it.
Outcome watch(pid_t waiter) {
    int asleep_looks = 0;
    for (int look = 0; look < 1000; ++look, std::this_thread::sleep_for(10ms)) {
        if (must(::waitpid(waiter, nullptr, WNOHANG), "waitpid") == waiter)
            return Outcome::received;
        asleep_looks = state_of(waiter) == 'S' ? asleep_looks + 1 : 0;
        if (asleep_looks == 50) return Outcome::lost;
    }
    return Outcome::unknown;
}

Outcome play(Moment moment, bool mended) {
    void* const memory = must(
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
        "mmap");
    auto& shared = *new (memory) Shared;
    const pid_t waiter = must(::fork(), "fork");
    if (waiter == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        Stop stop(shared, moment);
        (mended ? wait_as_one_should : wait_wrongly)(shared, stop);
        say("waiter", "has the message");
        ::_exit(0);
    }
    wait_for_turn(shared, Turn::of_the_sender);
    send(shared);
    shared.turn.store(Turn::of_the_waiter_again);

    const Outcome outcome = watch(waiter);
    if (outcome == Outcome::lost) {
        say("watchdog", "half a second later: the message is there, and the waiter sleeps on");
        say("watchdog", "wakes it");
        SystemAtomics::futex_wake(shared.bell);
    }
    if (outcome == Outcome::unknown) ::kill(waiter, SIGKILL);
    if (outcome != Outcome::received) must(::waitpid(waiter, nullptr, 0), "waitpid");
    fmt::print("  {}\n\n", outcome == Outcome::received ? "=> received"
                           : outcome == Outcome::lost   ? "=> THE WAKE-UP WAS LOST"
                                                        : "=> the waiter neither slept nor ended");
    must(::munmap(memory, sizeof(Shared)), "munmap");
    return outcome;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view word = argc > 1 ? argv[1] : "";
    if (argc > 2 || (!word.empty() && word != "--mended")) {
        fmt::print(stderr, "usage: lost-wakeup [--mended]\n");
        return 2;
    }
    try {
        const bool mended = word == "--mended";
        std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // a fork would double what is kept back
        fmt::print("1. The message comes after the waiter has looked, before it sets the bell.\n");
        const Outcome first = play(Moment::before_the_bell_is_set, mended);
        fmt::print("2. The message comes after the bell is set, before the waiter sleeps.\n");
        const Outcome second = play(Moment::before_the_sleep, mended);
        const auto either = [&](Outcome outcome) { return first == outcome || second == outcome; };
        return either(Outcome::unknown) ? 2 : either(Outcome::lost) ? 1 : 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "lost-wakeup: {}\n", error.what());
        return 2;
    }
}

#include "harness/benchmark/attempt.hpp"

#include "harness/session.hpp"
#include "mechanisms/os/named_object.hpp"

#include <fmt/format.h>

namespace ipclab {
namespace {

bool failed = false;

/// Once, and not before something is measured: `--benchmark_list_tests` has no need of it. Standard
/// output may be JSON.
void sweep() {
    static const bool swept = [] {
        for (const std::string& object : sweep_leftovers())
            fmt::print(stderr, "removed what a killed run left behind: {}\n", object);
        return true;
    }();
    (void)swept;
}

}  // namespace

void attempt(benchmark::State& state, const std::function<void()>& measure) {
    try {
        if (interrupted()) throw Interrupted();
        sweep();
        measure();
    } catch (const PairRefused& error) {
        state.SkipWithError(error.what());
    } catch (const PairFailed& error) {
        failed = true;
        state.SkipWithError(error.what());
    } catch (const std::runtime_error& error) {
        state.SkipWithError(error.what());
    }
}

bool any_failed() { return failed; }

}  // namespace ipclab

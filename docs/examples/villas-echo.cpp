// A program of the user's that talks through villas-queue: answers each sample with its reverse.
//
//   ipclab cat --listen villas-queue numbers        in one terminal
//   villas-echo numbers                             in another: what is typed there comes back
//
// Neither copies a sample: both directions lend. `ipclab cat` ends a conversation with an empty
// message, and then waits for one more, which says that all has been received.
#include "mechanisms/rings/villas/villas_queue.hpp"

#include <algorithm>
#include <exception>

using namespace ipclab;

namespace {

std::uint64_t answer(VillasQueue<villas::Mode::futex>::Endpoint& queue) {
    for (std::uint64_t answered = 0;; ++answered) {
        const View sample = queue.take();
        const Bytes reply = queue.loan(sample.size());
        const bool ends_with_newline = !sample.empty() && sample.back() == std::byte{'\n'};
        const auto words = sample.first(sample.size() - (ends_with_newline ? 1 : 0));
        std::reverse_copy(words.begin(), words.end(), reply.begin());
        if (ends_with_newline) reply.back() = std::byte{'\n'};
        queue.publish(sample.size());
        const bool was_the_end = sample.empty();
        queue.release();
        if (!was_the_end) continue;
        queue.loan(0);
        queue.publish(0);
        return answered;
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: villas-echo NAME\n");
        return 2;
    }
    try {
        Needs needs;
        needs.timeout = std::chrono::hours(1);
        // The mode is a property of the queue: whatever the listener chose is what is done here.
        auto mechanism = VillasQueue<villas::Mode::futex>::open({argv[1]}, needs);
        auto queue = mechanism.attach({Side::initiator});
        fmt::print("answered {} samples\n", answer(queue));
        return 0;
    } catch (const std::exception& problem) {
        fmt::print(stderr, "villas-echo: {}\n", problem.what());
        return 1;
    }
}

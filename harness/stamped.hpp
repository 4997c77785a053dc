// A ping-pong that tells what a message's time goes into. Each side stamps the steps of its own
// messages; what neither of them stamps is the way from one to the other.
//
// The stamps cost some 20 ns each, up to six a message: the figure of a transfer comes from the
// loops of pattern.hpp, and these loops only tell its parts.
#pragma once

#include "harness/pattern.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace ipclab {

/// What a message's time goes into, one after the other. `send` ends when the sender's call
/// returns, or when the receiver has the message, whichever is first: on one CPU the kernel often
/// lets the receiver run before it lets the sender go on. `hand_over` is what is left between the
/// two: being woken, and receiving. (So on one CPU, where in `send` the sender's work ends and the
/// switch to the receiver begins cannot be seen: there, read the two together.)
enum class Phase { prepare, produce, send, hand_over, consume, release };
inline constexpr std::array phases{Phase::prepare,   Phase::produce, Phase::send,
                                   Phase::hand_over, Phase::consume, Phase::release};
constexpr std::string_view name_of(Phase phase) {
    constexpr std::array<std::string_view, phases.size()> names{"prepare",   "produce", "send",
                                                                "hand_over", "consume", "release"};
    return names[static_cast<std::size_t>(phase)];
}

/// Order::variant of a leg that is stamped.
inline constexpr int stamped_leg = 1;

/// The ends of the hand-over, as one side has seen them in one exchange.
struct HandOverStamps {
    std::int64_t sent_ns;   ///< its own message: the call has returned
    std::int64_t heard_ns;  ///< the other's message is there
};

/// How much of a message's `send`, as its sender has stamped it, came after the receiver had the
/// message: the mean over both sides' messages.
inline double mean_overlap_ns(std::span<const HandOverStamps> initiator,
                              std::span<const HandOverStamps> responder) {
    std::int64_t sum_ns = 0;
    for (std::size_t i = 0; i < initiator.size(); ++i)
        sum_ns += std::max<std::int64_t>(0, initiator[i].sent_ns - responder[i].heard_ns) +
                  std::max<std::int64_t>(0, responder[i].sent_ns - initiator[i].heard_ns);
    return static_cast<double>(sum_ns) / static_cast<double>(2 * initiator.size());
}

/// One side's sums.
class Stamps {
  public:
    void start() { then_ns_ = now_ns(); }
    [[nodiscard]] std::int64_t last_ns() const { return then_ns_; }
    /// The time since the last start() or end_of() was the phase's.
    void end_of(Phase phase) {
        const std::int64_t this_ns = now_ns();
        sums_ns_[static_cast<std::size_t>(phase)] += this_ns - then_ns_;
        then_ns_ = this_ns;
    }
    /// Means per message, in the order of enum Phase.
    void report(std::span<double> figures_ns, std::uint64_t messages) const {
        for (std::size_t i = 0; i < sums_ns_.size(); ++i)
            figures_ns[i] = static_cast<double>(sums_ns_[i]) / static_cast<double>(messages);
    }

  private:
    std::array<std::int64_t, phases.size()> sums_ns_{};
    std::int64_t then_ns_ = 0;
};

/// As Talker::say and flush. The clock was last looked at when the message before was done with.
template <class E>
void say_stamped(Talker<E>& talker, std::uint64_t sequence, Stamps& stamps) {
    Bytes message = talker.out;
    Stores stores = Stores::plain;
    if constexpr (LendingSender<E>) {
        message = talker.endpoint.loan(talker.out.size());
        stores = stores_of(talker.endpoint);
        stamps.end_of(Phase::prepare);
    }
    payload::fill(talker.touched(message), sequence, stores);
    stamps.end_of(Phase::produce);
    if constexpr (LendingSender<E>)
        talker.endpoint.publish(message.size());
    else
        talker.endpoint.send(message);
    flush(talker.endpoint);
    stamps.end_of(Phase::send);
}

/// As Talker::hear; returns when the message was there. Waiting and receiving are nobody's phase.
template <class E>
std::int64_t hear_stamped(Talker<E>& talker, std::uint64_t sequence, Stamps& stamps) {
    View message;
    if constexpr (LendingReceiver<E>)
        message = talker.endpoint.take();
    else
        message = talker.in.first(talker.endpoint.receive(talker.in));
    stamps.start();
    const std::int64_t heard_ns = stamps.last_ns();
    const bool good =
        message.size() == talker.in.size() && payload::check(talker.touched(message), sequence);
    talker.mismatches += good ? 0 : 1;
    stamps.end_of(Phase::consume);
    if constexpr (LendingReceiver<E>) {
        talker.endpoint.release();
        stamps.end_of(Phase::release);
    }
    return heard_ns;
}

/// `hand_overs` has room for as many as there are messages.
template <class E>
Stamps stamped_ping_pong(Talker<E>& talker, Side side, const Leg& leg,
                         std::span<HandOverStamps> hand_overs) {
    Stamps stamps;
    const auto say = [&](std::uint64_t i) {
        say_stamped(talker, leg.first + i, stamps);
        hand_overs[i].sent_ns = stamps.last_ns();
    };
    const auto hear = [&](std::uint64_t i) {
        hand_overs[i].heard_ns = hear_stamped(talker, leg.first + i, stamps);
    };
    stamps.start();
    for (std::uint64_t i = 0; i < leg.messages; ++i) {
        if (side == Side::responder) hear(i);
        say(i);
        if (side == Side::initiator) hear(i);
    }
    return stamps;
}

}  // namespace ipclab

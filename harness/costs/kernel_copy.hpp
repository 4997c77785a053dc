// Copying into the kernel and out of it, with the waiting taken away.
#pragma once

#include "harness/costs/conduit.hpp"
#include "harness/costs/cost.hpp"
#include "harness/message_buffer.hpp"
#include "harness/payload.hpp"

namespace ipclab {

/// Throws where a message is not the one that was sent.
inline void require_payload(bool good) {
    if (!good) throw Refused("check", "a message came that was not sent");
}

/// How long a step takes, for what is to be added up before it is noted.
double time_ns(const Laps& laps, auto&& step) {
    const std::int64_t then_ns = now_ns();
    step();
    return static_cast<double>(now_ns() - then_ns) - laps.clock_ns();
}

/// Figures: fill, copy_in, copy_out, check; of one message, all of its rounds together.
template <class Conduit>
class KernelCopy : public Cost {
  public:
    explicit KernelCopy(const CostCell& cell)
        : placement_(cell.placement), size_bytes_(cell.size_bytes), conduit_(cell.size_bytes) {}

  private:
    enum Figure : std::size_t { fill, copy_in, copy_out, check };

    [[nodiscard]] bool alone() const { return placement_ == Placement::same_cpu; }

    void attach(Side side) override {
        if (alone() && side == Side::responder) return;
        conduit_.attach(side);
        if (alone()) conduit_.attach(Side::responder);
        // As many buffers as the processes of a ping-pong have, and so as much in the caches.
        for (std::size_t i = 0; i < (alone() ? 2U : 1U); ++i) {
            outgoing_[i].resize(size_bytes_);
            incoming_[i].resize(size_bytes_);
        }
        turn_ = side == Side::initiator ? 0 : 1;
    }

    void pass(Side side, Laps& laps) override {
        if (!alone()) {
            if (side == Side::initiator) send(side, laps);
            receive(side, laps);
            if (side == Side::responder) send(side, laps);
        } else if (side == Side::initiator) {
            carry(Side::initiator, laps);
            carry(Side::responder, laps);
        }
    }

    /// Plays both sides.
    void carry(Side sender, Laps& laps) {
        auto& way = conduit_.from(sender);
        const auto set = static_cast<std::size_t>(sender);
        way.begin(filled(outgoing_[set].bytes(), laps));
        way.expect(incoming_[set].bytes());
        double in_ns = 0;
        double out_ns = 0;
        for (bool whole = false; !whole;) {
            in_ns += time_ns(laps, [&] { way.send_round(); });
            out_ns += time_ns(laps, [&] { whole = way.receive_round(); });
        }
        laps.note(copy_in, in_ns);
        laps.note(copy_out, out_ns);
        check_incoming(incoming_[set].bytes(), laps);
    }

    /// Has the turn when it is called, and has given it away when it returns.
    void send(Side side, Laps& laps) {
        await_turn(turn_);
        auto& way = conduit_.from(side);
        way.begin(filled(outgoing_[0].bytes(), laps));
        double in_ns = 0;
        for (bool whole = false; !whole;) {
            await_turn(turn_);
            in_ns += time_ns(laps, [&] { whole = way.send_round(); });
            give_turn();
        }
        laps.note(copy_in, in_ns);
    }
    /// Has the turn when it returns.
    void receive(Side side, Laps& laps) {
        auto& way = conduit_.from(other(side));
        way.expect(incoming_[0].bytes());
        double out_ns = 0;
        for (bool whole = false; !whole;) {
            await_turn(turn_);
            out_ns += time_ns(laps, [&] { whole = way.receive_round(); });
            if (!whole) give_turn();
        }
        laps.note(copy_out, out_ns);
        check_incoming(incoming_[0].bytes(), laps);
    }
    void give_turn() {
        hand_over();
        turn_ += 2;
    }

    View filled(Bytes buffer, Laps& laps) {
        laps.start();
        payload::fill(buffer, ++last_sent_);
        laps.lap(fill);
        return buffer;
    }
    void check_incoming(View buffer, Laps& laps) {
        laps.start();
        const bool good = payload::check(buffer, ++last_received_);
        laps.lap(check);
        require_payload(good);
    }

    Placement placement_;
    std::size_t size_bytes_;
    Conduit conduit_;
    std::array<MessageBuffer, 2> outgoing_;
    std::array<MessageBuffer, 2> incoming_;
    std::uint64_t last_sent_ = 0;
    std::uint64_t last_received_ = 0;
    std::uint32_t turn_ = 0;
};

}  // namespace ipclab

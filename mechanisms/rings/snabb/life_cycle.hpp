// Life cycle: how the two ends of a link come and go, each in its own time.
//
// One word holds who is attached, and every change of it is a compare-and-swap: who loses the race
// looks again. The states and their ways are those of Snabb's lib.interlink (2018, with INIT and
// CONF of 2022):
//
//   INIT -> CONF -> FREE      whoever made the link describes it; nobody attaches before FREE
//   FREE -> RXUP, TXUP        the first end comes
//   RXUP, TXUP -> DXUP        the second end comes
//   DXUP -> RXUP, TXUP        an end leaves, and leaves the link as it is for a successor
//   RXUP, TXUP -> DOWN        the last one leaves, and closes the link for good
//
// No other change is allowed: nothing but a new link is FREE, nobody shuts a link down that is in
// use, and nothing comes back from DOWN.
#pragma once

#include "mechanisms/rings/snabb/packets.hpp"

#include <cstdint>
#include <string_view>

namespace ipclab::snabb {

enum class State : std::uint32_t { init, conf, free, rxup, txup, dxup, down };

constexpr std::string_view name_of(State state) {
    constexpr std::string_view names[] = {"INIT", "CONF", "FREE", "RXUP", "TXUP", "DXUP", "DOWN"};
    return state <= State::down ? names[static_cast<std::size_t>(state)] : "no state";
}

/// The state in which `end` alone is attached.
constexpr State alone(End end) { return end == End::transmitter ? State::txup : State::rxup; }

/// `Word` is an atomic std::uint32_t that holds a State.
template <class Word>
class LifeCycle {
  public:
    explicit LifeCycle(Word& word) : word_(word) {}

    /// For a person; it may have changed by now.
    [[nodiscard]] State state() const {
        return static_cast<State>(word_.load(std::memory_order::relaxed));
    }

    /// Whether the caller is the one that describes the link, between these two.
    bool begin_to_configure() {
        return change(State::init, State::conf, std::memory_order::relaxed);
    }
    void configured() { change(State::conf, State::free, std::memory_order::release); }

    /// Acquire, as every attach: what the maker and the last one in this role have written.
    bool attach(End end) {
        return change(State::free, alone(end), std::memory_order::acquire) ||
               change(alone(other(end)), State::dxup, std::memory_order::acquire);
    }
    /// Whether `end` is attached. If nobody sits there (link_file.hpp), it was killed or left the
    /// link lying, and its successor takes over what is there; the seat's lock orders the two.
    [[nodiscard]] bool is_up(End end) const {
        return state() == alone(end) || state() == State::dxup;
    }
    /// Leaves, while the other end stays.
    bool reset(End end) {
        return change(State::dxup, alone(other(end)), std::memory_order::release);
    }
    /// Leaves as the last one. Acquire: who shuts down frees what the other end has left behind.
    bool shut_down(End end) { return change(alone(end), State::down, std::memory_order::acquire); }

  private:
    bool change(State from, State to, std::memory_order order) {
        auto expected = static_cast<std::uint32_t>(from);
        return word_.compare_exchange_strong(expected, static_cast<std::uint32_t>(to), order,
                                             std::memory_order::relaxed);
    }

    Word& word_;
};

}  // namespace ipclab::snabb

// A bounded queue for several producers and several consumers, in shared memory.
//
// The algorithm is Dmitry Vyukov's ("Bounded MPMC queue", 1024cores.net, 2010), as VILLASnode's
// shmem node-type uses it twice in each direction: for samples that are on their way, and for
// those that are free (pool.hpp). What is queued are pointers. Each process has the memory mapped
// elsewhere, and so they are relative: distances in bytes from the queue itself.
//
// A counter says where the next item goes (tail), another where the next is (head). That alone
// would not do: between the moment in which a producer has won a place and that in which it has
// filled it, a consumer must not look there. So each cell has a sequence number, which says whose
// turn it is. With N cells, the cell of position p (it is the p-th push, and the p-th pull):
//
//   sequence = p       free for the p-th push
//   sequence = p + ½   holds the item of the p-th push
//   sequence = p + N   has been emptied: free for the push one lap later
//
// A push looks at the cell before it takes the place, and takes it by compare-and-swap on the tail.
// Nobody waits for anybody but for the last step: who has won a place and is stopped there, or
// killed, leaves a cell whose turn never comes. A queue with such a hole looks empty to consumers
// once they have come to it, and full to producers once they have come round. Lock-free, as the
// textbook has it, the queue is not; DirectionView::rebuild mends it, for who is alone with it.
//
// Every number here is doubled, so that a half is a one. That leaves the lowest bit of the tail for
// something else: closed. The original keeps that in a word of its own, which all look at before;
// a push that has looked may then succeed after the close, and as it closes the consumers' side
// too, what is queued is lost. Here the bit makes the compare-and-swap of every later push fail,
// and a consumer that finds no item at the position where a closed tail stands has had them all.
//
// Memory orders. What crosses is said by the sequence number alone: stored with release, loaded
// with acquire, in both directions (an item that has come; a cell that is empty again). Tail and
// head only give out places and can be relaxed. One consequence is used below: who sees that a cell
// is ahead of the position in hand has synchronised with somebody who moved the counter on, and
// so finds another value there. If not, the memory has been tampered with.
//
// Positions grow for ever and wrap at 2^64; only differences mean anything.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ipclab::villas {

/// A word that the other side could change at any time: each load is one look at the memory, which
/// the compiler can neither repeat nor spare.
template <class T>
class OneLook {
  public:
    [[nodiscard]] T load() const { return value_; }
    void store(T value) { value_ = value; }

  private:
    volatile T value_{};
};

/// Broken: its memory makes no sense; somebody has tampered with it.
enum class Outcome { done, full, empty, closed, broken };

/// How many cells a queue for `items` has: a power of two, so that the cells of consecutive
/// positions follow each other when the counters wrap; and at least two, for with one alone it
/// would be the same cell that the next push and the next pull look at.
constexpr std::uint64_t cells_for(std::uint64_t items) {
    return std::bit_ceil(items < 2 ? std::uint64_t{2} : items);
}

template <class Atomics, template <class> class Plain = OneLook>
class BoundedQueue {
  public:
    using Counter = typename Atomics::template Atomic<std::uint64_t>;

    struct Cell {
        Counter sequence{0};
        Plain<std::uint64_t> place;
    };
    /// Producers write the tail, consumers the head; on one line they would take it from each
    /// other at every operation.
    struct State {
        alignas(64) Counter tail{0};
        alignas(64) Counter head{0};
    };

    /// Done once, for a queue that nobody uses yet. `start` is the first position, even.
    static void initialise(State& state, Cell* cells, std::uint64_t count,
                           std::uint64_t start = 0) {
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t position = start + step * i;
            cells[(position / step) & (count - 1)].sequence.store(position, relaxed);
        }
        state.tail.store(start, relaxed);
        state.head.store(start, relaxed);
    }

    /// A process's view of it. `count`, a power of two, is told and not read: what lies in shared
    /// memory could change after it has been checked.
    BoundedQueue(State& state, Cell* cells, std::uint64_t count)
        : state_(&state), cells_(cells), count_(count) {}

    /// Hands `item` over, or says full or closed. `publish` is release, or what the consumers' way
    /// of waiting demands.
    Outcome push(const std::byte* item, std::memory_order publish = std::memory_order::release) {
        std::uint64_t position = state_->tail.load(relaxed);
        for (int attempt = 0; attempt < attempts_max; ++attempt) {
            if ((position & closed_bit) != 0) return Outcome::closed;
            Cell& cell = cell_of(position);
            const std::int64_t lead =
                signed_difference(cell.sequence.load(std::memory_order::acquire), position);
            if (lead < 0) return Outcome::full;
            if (lead > 0) {
                if (!move_on(state_->tail, position)) return Outcome::broken;
            } else if (state_->tail.compare_exchange_weak(position, position + step, relaxed,
                                                          relaxed)) {
                cell.place.store(static_cast<std::uint64_t>(item - base()));
                cell.sequence.store(position + filled, publish);
                return Outcome::done;
            }
        }
        return Outcome::broken;
    }

    /// Takes the next item. It is for the caller to check that `item` points into something.
    /// `look` is acquire, or what the way of waiting demands. Closed means that all have been taken
    /// that ever were pushed.
    Outcome pull(std::byte*& item, std::memory_order look = std::memory_order::acquire) {
        std::uint64_t position = state_->head.load(relaxed);
        for (int attempt = 0; attempt < attempts_max; ++attempt) {
            Cell& cell = cell_of(position);
            const std::int64_t lead =
                signed_difference(cell.sequence.load(look), position + filled);
            if (lead < 0)
                return state_->tail.load(relaxed) == (position | closed_bit) ? Outcome::closed
                                                                             : Outcome::empty;
            if (lead > 0) {
                if (!move_on(state_->head, position)) return Outcome::broken;
            } else if (state_->head.compare_exchange_weak(position, position + step, relaxed,
                                                          relaxed)) {
                item = base() + static_cast<std::ptrdiff_t>(cell.place.load());
                cell.sequence.store(position + step * count_, std::memory_order::release);
                return Outcome::done;
            }
        }
        return Outcome::broken;
    }

    /// No push succeeds from here on; pulls go on until the last item.
    void close() {
        mark_tail([](std::uint64_t tail) { return tail | closed_bit; });
    }
    [[nodiscard]] static bool is_closed(const State& state) {
        return (state.tail.load(relaxed) & closed_bit) != 0;
    }
    void open_again() {
        mark_tail([](std::uint64_t tail) { return tail & ~closed_bit; });
    }

    /// As it was at some moment; exact while nobody pushes or pulls.
    [[nodiscard]] std::uint64_t size() const {
        const std::uint64_t between =
            (state_->tail.load(relaxed) & ~closed_bit) - state_->head.load(relaxed);
        return between / step <= count_ ? between / step : 0;
    }

    /// For who is alone with the queue: takes out every item that is there, holes or not, and
    /// leaves the queue empty, mended, and open.
    std::vector<std::byte*> rebuild() {
        std::vector<std::byte*> items;
        items.reserve(count_);
        const std::uint64_t head = state_->head.load(relaxed) & ~closed_bit;
        for (std::uint64_t i = 0; i < size(); ++i) {
            const Cell& cell = cell_of(head + step * i);
            if (cell.sequence.load(std::memory_order::acquire) == head + step * i + filled)
                items.push_back(base() + static_cast<std::ptrdiff_t>(cell.place.load()));
        }
        initialise(*state_, cells_, count_, head);
        return items;
    }

  private:
    static constexpr auto relaxed = std::memory_order::relaxed;
    static constexpr std::uint64_t step = 2;    // from a position to the next
    static constexpr std::uint64_t filled = 1;  // "and a half"
    static constexpr std::uint64_t closed_bit = 1;
    /// Each failed attempt is another's success. Nobody is that unlucky unless the counters are
    /// moved for no other purpose.
    static constexpr int attempts_max = 1 << 20;

    static std::int64_t signed_difference(std::uint64_t a, std::uint64_t b) {
        return static_cast<std::int64_t>(a - b);
    }
    static bool move_on(const Counter& counter, std::uint64_t& position) {
        const std::uint64_t before = position;
        position = counter.load(relaxed);
        return position != before;
    }
    void mark_tail(auto&& marked) {
        std::uint64_t tail = state_->tail.load(relaxed);
        for (int attempt = 0; attempt < attempts_max; ++attempt)
            if (state_->tail.compare_exchange_weak(tail, marked(tail), relaxed, relaxed)) return;
    }
    [[nodiscard]] Cell& cell_of(std::uint64_t position) const {
        return cells_[(position / step) & (count_ - 1)];
    }
    [[nodiscard]] std::byte* base() const { return reinterpret_cast<std::byte*>(state_); }

    State* state_;
    Cell* cells_;
    std::uint64_t count_;
};

}  // namespace ipclab::villas

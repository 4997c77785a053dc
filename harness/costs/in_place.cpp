// What a message costs that is made and read in memory which both processes see.
//
// Nothing is copied and nobody waits: this is what is left of a transfer through a persistent
// mapping when the waiting is taken away. On two CPUs it is the price of memory that one CPU writes
// and the other reads: each line has to travel from cache to cache, or by way of memory.
#include "harness/costs/kernel_copy.hpp"
#include "harness/costs/list.hpp"
#include "mechanisms/os/mapping.hpp"

#include <atomic>

namespace ipclab {
namespace {

class InPlace : public Cost {
  public:
    explicit InPlace(const CostCell& cell)
        : size_bytes_(cell.size_bytes),
          room_bytes_(round_up(cell.size_bytes, page_bytes())),
          memory_(must(::memfd_create("ipclab-in-place", MFD_CLOEXEC), "memfd_create")) {
        must(::ftruncate(memory_.get(), static_cast<off_t>(2 * room_bytes_)), "ftruncate");
    }

  private:
    enum Figure : std::size_t { fill, check };

    void attach(Side side) override {
        rooms_ = Mapping(memory_.get(), 2 * room_bytes_);
        turn_ = side == Side::initiator ? 0 : 1;
    }

    void pass(Side side, Laps& laps) override {
        if (side == Side::initiator) {
            await_turn(turn_);
            make(side, laps);
            give_turn();
            await_turn(turn_);
            read(other(side), laps);
        } else {
            await_turn(turn_);
            read(other(side), laps);
            make(side, laps);
            give_turn();
        }
    }
    void give_turn() {
        hand_over();
        turn_ += 2;
    }

    void make(Side sender, Laps& laps) {
        laps.start();
        payload::fill(room(sender), ++last_made_);
        // Not before the last store has left this CPU's store buffer would the reader be told.
        std::atomic_thread_fence(std::memory_order::seq_cst);
        laps.lap(fill);
    }
    void read(Side sender, Laps& laps) {
        laps.start();
        const bool good = payload::check(room(sender), ++last_read_);
        laps.lap(check);
        require_payload(good);
    }
    [[nodiscard]] Bytes room(Side sender) const {
        return {rooms_.data() + (sender == Side::initiator ? 0 : room_bytes_), size_bytes_};
    }

    std::size_t size_bytes_;
    std::size_t room_bytes_;
    Fd memory_;
    Mapping rooms_;
    std::uint64_t last_made_ = 0;
    std::uint64_t last_read_ = 0;
    std::uint32_t turn_ = 0;
};

}  // namespace

std::vector<CostEntry> in_place_costs() {
    return {{{.name = "payload/in-place",
              .figures = {{"fill", "message"}, {"check", "message"}},
              .explanation =
                  "A message that is made and verified where it lies, in one of two rooms of a "
                  "memfd that both processes have mapped: each side of a conversation writes one "
                  "and reads the other. One process fills a room and the other checks it, and then "
                  "the other way round, by turns. On one CPU the caches are the same, but the page "
                  "tables are two, and each entry that the CPU remembers serves one of them. On "
                  "two, check contains fetching every line from the other CPU's cache (or from "
                  "memory, where the message is larger than that), and fill taking the lines back, "
                  "since the other has them, until the last one is here. The pages are mapped and "
                  "populated beforehand, so there are no page faults; nobody sleeps, and how the "
                  "turn passes from one to the other is not in the figures.",
              .size_bytes_min = 1,
              .size_bytes_max = std::size_t{64} << 20,
              .placements = {Placement::same_cpu, Placement::two_cpus}},
             [](const CostCell& cell) -> std::unique_ptr<Subject> {
                 return std::make_unique<InPlace>(cell);
             }}};
}

}  // namespace ipclab

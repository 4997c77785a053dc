// What it costs to copy a message out of another process's memory.
//
// The mechanism itself is at work here, both sides of it; only that nobody ever has to wait in it,
// since the two take turns. What is left of receiving is one call, process_vm_readv(2).
#include "mechanisms/cross_memory/process_vm.hpp"

#include "harness/costs/kernel_copy.hpp"
#include "harness/costs/list.hpp"

namespace ipclab {
namespace {

class ProcessVmCopy : public Cost {
  public:
    explicit ProcessVmCopy(const CostCell& cell)
        : mechanism_(ProcessVm::create({.message_bytes_max = cell.size_bytes})),
          size_bytes_(cell.size_bytes) {}

  private:
    enum Figure : std::size_t { fill, copy_out, check };

    void attach(Side side) override {
        endpoint_.emplace(mechanism_.attach({.side = side}));
        incoming_.resize(size_bytes_);
        turn_ = side == Side::initiator ? 0 : 1;
    }

    void pass(Side side, Laps& laps) override {
        await_turn(turn_);
        if (side == Side::initiator) {
            send(laps);
            await_turn(turn_);
            receive(laps);
        } else {
            receive(laps);
            send(laps);
        }
    }

    void send(Laps& laps) {
        const Bytes message = endpoint_->loan(size_bytes_);
        laps.start();
        payload::fill(message, ++last_sent_);
        laps.lap(fill);
        endpoint_->publish(size_bytes_);
        hand_over();
        turn_ += 2;
    }
    void receive(Laps& laps) {
        laps.start();
        endpoint_->receive(incoming_.bytes());
        laps.lap(copy_out);
        const bool good = payload::check(incoming_.bytes(), ++last_received_);
        laps.lap(check);
        require_payload(good);
    }

    ProcessVm mechanism_;
    std::size_t size_bytes_;
    std::optional<ProcessVm::Endpoint> endpoint_;
    MessageBuffer incoming_;
    std::uint64_t last_sent_ = 0;
    std::uint64_t last_received_ = 0;
    std::uint32_t turn_ = 0;
};

}  // namespace

std::vector<CostEntry> process_vm_costs() {
    return {
        {{.name = "kernel-copy/process-vm",
          .figures = {{"fill", "message"}, {"copy_out", "message"}, {"check", "message"}},
          .explanation =
              "One message, made in one process's private memory and read from there by another. "
              "copy_out is process_vm_readv(2) as the mechanism calls it, for a cookie of 8 bytes "
              "and the message together: the call, finding the other process and asking whether it "
              "may be read, looking up and pinning its pages, a few at a time, and one copy; a few "
              "ns for the words that say where the message is stand with it. fill and check make "
              "and verify it. The two take turns: on one CPU by yielding, on two by a word that "
              "both look at, so that copy_out fetches the message from the other CPU's cache. "
              "Neither the turns nor any sleeping and waking are in the figures.",
          .size_bytes_min = 1,
          .size_bytes_max = std::size_t{64} << 20,
          .placements = {Placement::same_cpu, Placement::two_cpus}},
         [](const CostCell& cell) -> std::unique_ptr<Subject> {
             return std::make_unique<ProcessVmCopy>(cell);
         }}};
}

}  // namespace ipclab

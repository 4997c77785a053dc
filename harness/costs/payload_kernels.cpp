// The work that every transfer is for: writing a message's bytes, and reading them.
#include "harness/costs/list.hpp"
#include "harness/costs/touched_pages.hpp"
#include "harness/costs/warm_loop.hpp"
#include "harness/payload.hpp"

namespace ipclab {
namespace {

class PrivatePayload : public Cost {
    enum { fill, check };

  public:
    explicit PrivatePayload(std::size_t size_bytes) : size_bytes_(size_bytes) {}

  private:
    void attach(Side side) override {
        if (side == Side::initiator) message_.assign(size_bytes_, std::byte{1});
    }

    void pass(Side side, Laps& laps) override {
        if (side != Side::initiator) return;
        laps.note(fill, mean_ns(size_bytes_, [&] {
                      payload::fill(message_, sequence_);
                      return message_.data();
                  }));
        bool good = true;
        laps.note(check, mean_ns(size_bytes_, [&] {
                      good &= payload::check(message_, sequence_);
                      return message_.data();
                  }));
        if (!good) throw std::logic_error("the payload kernels disagree");
        ++sequence_;
    }

    std::size_t size_bytes_;
    std::uint64_t sequence_ = 0;
    std::vector<std::byte> message_;
};

}  // namespace

std::vector<CostEntry> payload_kernel_costs() {
    return {{{.name = "payload/private",
              .figures = {{"fill", "message"}, {"check", "message"}},
              .explanation =
                  "What the sender does to make a message, and the receiver to use it, wherever "
                  "the message lies: fill writes each 64-bit word as a function of the message's "
                  "number and of the word's place, check reads each and compares. On one private "
                  "buffer that is used again and again, so that these are the bare loops at the "
                  "speed of the cache that the message fits into. It leaves out page faults, and "
                  "what it costs to take over a line that the other process used last; "
                  "payload/in-place has that in.",
              .size_bytes_max = transfer_bytes_max},
             [](const CostCell& cell) -> std::unique_ptr<Subject> {
                 return std::make_unique<PrivatePayload>(cell.size_bytes);
             }}};
}

}  // namespace ipclab

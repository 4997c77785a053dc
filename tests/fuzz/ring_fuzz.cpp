// What a hostile peer can do with a memif ring: write whatever it likes into its indices, flags and
// descriptors, at any moment, also between two looks at the same slot.
//
// The input says which end we are, where the ring and its regions lie, and then, step by step, what
// the peer writes and what we are asked to do. All memory is of exactly the size that it is said to
// be, so that AddressSanitizer sees each byte beyond. The peer also gets a turn at each of our
// loads: those of indices by the rings' policy for atomics, those of descriptors by the macro
// below.

// All that uses the builtin itself, first.
#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/atomics.hpp"
#include "tests/fuzz/input.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace ipclab::fuzz {

/// The peer's turn, before we look.
std::function<void()> before_load = [] {};  // NOLINT(cert-err58-cpp)

template <class Value>
Value look_at(const Value* address) {
    before_load();
    return *address;
}

}  // namespace ipclab::fuzz

#define __atomic_load_n(address, order) (static_cast<void>(order), ::ipclab::fuzz::look_at(address))
#include "mechanisms/rings/memif/data_path.hpp"
#undef __atomic_load_n

namespace ipclab::fuzz {
namespace {

using namespace memif;  // NOLINT(google-build-using-namespace)

/// One process plays both sides: nothing needs to be atomic.
struct PlayedAtomics {
    template <class Value>
    class Atomic {
      public:
        explicit Atomic(Value value) : value_(value) {}
        Value load(std::memory_order /*order*/) const { return look_at(&value_); }
        void store(Value value, std::memory_order /*order*/) { value_ = value; }
        [[nodiscard]] Value get() const { return value_; }  ///< the peer's look

      private:
        Value value_;
    };
    static void fence(std::memory_order /*order*/) {}
};
using Header = RingHeader<PlayedAtomics>;
static_assert(sizeof(Header) == 128);

constexpr std::size_t region_bytes_limit = 4096;
constexpr std::size_t packet_bytes_limit = 3 * region_bytes_limit;

/// Not zeroed and not one byte larger.
struct Memory {
    explicit Memory(std::size_t size) : bytes(new std::byte[size]), size_bytes(size) {
        std::memset(bytes.get(), 0, size);
    }
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size_bytes;
};

/// Reads every byte, so that what must not be read is noticed.
void read_all(View bytes) {
    unsigned sum = 0;
    for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
    const volatile unsigned kept = sum;
    static_cast<void>(kept);
}

class Ring {
  public:
    explicit Ring(Input& input)
        : input_(input),
          mine_(input.byte() % 2 == 0 ? SocketRole::server : SocketRole::client),
          log2_ring_size_(input.between<std::uint8_t>(1, 5)),
          start_(input.take<std::uint16_t>()),
          memory_(ring_bytes(log2_ring_size_)),
          header_(new (memory_.bytes.get()) Header),
          descriptors_(reinterpret_cast<SharedDescriptor*>(memory_.bytes.get() + sizeof(Header))) {
        header_->head.store(start_, std::memory_order::relaxed);
        header_->tail.store(start_, std::memory_order::relaxed);
        const std::size_t slots = std::size_t{1} << log2_ring_size_;
        for (unsigned count = input.between<std::uint8_t>(1, 3); count > 0; --count)
            region_memory_.emplace_back(input.between<std::uint16_t>(
                static_cast<std::uint16_t>(slots), region_bytes_limit));
        for (const Memory& memory : region_memory_)
            regions_.push_back({memory.bytes.get(), memory.size_bytes});
        // All that a client's buffers can take of the last region.
        const std::size_t last_bytes = region_memory_.back().size_bytes;
        buffers_ = {.region = static_cast<std::uint16_t>(regions_.size() - 1),
                    .offset = static_cast<std::uint32_t>(last_bytes % slots),
                    .bytes = static_cast<std::uint32_t>(last_bytes / slots)};
    }

    [[nodiscard]] RingPlace<PlayedAtomics> place() {
        return {header_, descriptors_, log2_ring_size_, mine_, regions_, buffers_, start_};
    }

    /// What the peer does next.
    void peers_turn() {
        switch (input_.byte() % 9) {
        case 0:  // anything at all, anywhere
            write(input_.take<std::uint16_t>());
            break;
        case 1:
            index(peers_index()).store(input_.take<std::uint16_t>(), std::memory_order::relaxed);
            break;
        case 2:
            index(!peers_index()).store(input_.take<std::uint16_t>(), std::memory_order::relaxed);
            break;
        case 3:  // as an honest peer would
            advance(input_.between<std::uint8_t>(1, 8));
            break;
        case 4:  // a descriptor out of nothing
            descriptors_[input_.byte() % slots()].store(
                {input_.take<std::uint16_t>(), input_.take<std::uint16_t>(),
                 input_.take<std::uint32_t>(), input_.take<std::uint32_t>(), 0});
            break;
        case 5:  // one that is nearly right, or is
            descriptors_[input_.byte() % slots()].store(near_descriptor());
            break;
        case 6:  // that, where it counts
            hand_over();
            break;
        case 7:
            header_->flags.store(input_.byte(), std::memory_order::relaxed);
            break;
        default:
            break;
        }
    }
    /// Between two of our looks, more often than not nothing.
    void maybe_peers_turn() {
        if (is_peers_turn_ || input_.empty() || input_.byte() < 192) return;
        is_peers_turn_ = true;
        peers_turn();
        is_peers_turn_ = false;
    }
    [[nodiscard]] Input& input() { return input_; }
    [[nodiscard]] std::size_t slots() const { return std::size_t{1} << log2_ring_size_; }

  private:
    [[nodiscard]] bool peers_index() const { return mine_ == SocketRole::server; }  // the head
    Header::Index& index(bool head) { return head ? header_->head : header_->tail; }

    void write(std::uint16_t where) {
        const auto bytes = input_.bytes(input_.between<std::uint8_t>(1, 32));
        const std::size_t at = where % memory_.size_bytes;
        std::memcpy(memory_.bytes.get() + at, bytes.data(),
                    std::min(bytes.size(), memory_.size_bytes - at));
    }
    /// Within its region, or just beyond it.
    Descriptor near_descriptor() {
        const std::uint8_t how = input_.byte();
        const auto region = static_cast<std::uint16_t>(how % (regions_.size() + 1));
        const std::uint64_t bytes = region < regions_.size() ? regions_[region].bytes : 1;
        const auto offset = input_.between<std::uint32_t>(0, static_cast<std::uint32_t>(bytes));
        const auto rest = static_cast<std::uint32_t>(bytes - offset);
        const std::uint32_t length = (how & 0x40) != 0 ? rest + input_.between<std::uint8_t>(0, 1)
                                                       : input_.between<std::uint32_t>(0, rest);
        const auto flags = static_cast<std::uint16_t>(how >> 7);
        return {flags, region, length, offset, 0};
    }
    /// A slot, and the index that says so.
    void hand_over() {
        const std::uint16_t at = index(peers_index()).get();
        descriptors_[at % slots()].store(near_descriptor());
        index(peers_index()).store(static_cast<std::uint16_t>(at + 1), std::memory_order::relaxed);
    }
    void advance(std::uint16_t slots) {
        Header::Index& word = index(peers_index());
        word.store(static_cast<std::uint16_t>(word.get() + slots), std::memory_order::relaxed);
    }

    Input& input_;
    SocketRole mine_;
    unsigned log2_ring_size_;
    std::uint16_t start_;
    Memory memory_;
    Header* header_;
    SharedDescriptor* descriptors_;
    std::vector<Memory> region_memory_;
    std::vector<Region> regions_;
    ClientBuffers buffers_;
    bool is_peers_turn_ = false;
};

void receive(Ring& ring) {
    RingReceiver<PlayedAtomics> receiver(ring.place());
    std::vector<std::byte> copy;
    while (!ring.input().empty()) {
        switch (ring.input().byte() % 4) {
        case 0:
        case 1: {
            const bool stopped = receiver.violation() != nullptr;
            const auto packet = receiver.next();
            MUST_HOLD(!stopped || !packet);
            if (!packet) break;
            MUST_HOLD(!packet->empty() && packet->size() <= packet_bytes_max);
            read_all(*packet);
            break;
        }
        case 2:
            MUST_HOLD(receiver.unreleased() <= ring.slots());
            receiver.release();
            MUST_HOLD(receiver.unreleased() == 0);
            break;
        default:
            if (ring.input().byte() % 8 == 0)
                receiver.ask_for_signals(ring.input().byte() % 2 == 0);
            else
                ring.peers_turn();
        }
    }
}

void send(Ring& ring) {
    RingSender<PlayedAtomics> sender(ring.place());
    static const std::vector<std::byte> packet(packet_bytes_limit, std::byte{'p'});
    while (!ring.input().empty()) {
        const std::size_t bytes = ring.input().between<std::uint16_t>(0, packet_bytes_limit);
        const bool stopped = sender.violation() != nullptr;
        switch (ring.input().byte() % 6) {
        case 0:
        case 1: {
            const bool sent = sender.send(View(packet).first(bytes));
            MUST_HOLD(!sent || (!stopped && bytes > 0));
            break;
        }
        case 2: {
            const Bytes loan = sender.loan(bytes);
            MUST_HOLD(loan.empty() || (!stopped && loan.size() == bytes));
            if (!loan.empty()) std::memset(loan.data(), 'l', loan.size());
            if (ring.input().byte() % 4 != 0)
                sender.fill(ring.input().between<std::uint16_t>(0, packet_bytes_limit));
            break;
        }
        case 3:
            sender.publish();
            MUST_HOLD(!sender.has_unpublished());
            break;
        case 4:
            static_cast<void>(sender.never_fits(bytes));
            break;
        default:
            ring.peers_turn();
        }
    }
}

}  // namespace
}  // namespace ipclab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace ipclab::fuzz;  // NOLINT(google-build-using-namespace)
    Input input(data, size);
    const bool receives = input.byte() % 2 == 0;
    Ring ring(input);
    before_load = [&ring] { ring.maybe_peers_turn(); };
    if (receives)
        receive(ring);
    else
        send(ring);
    before_load = [] {};
    return 0;
}

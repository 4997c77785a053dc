// The Snabb links under Relacy (ring_model.hpp): both rings, with ends that are replaced while the
// other goes on, and the life cycle.
#include "mechanisms/rings/snabb/inter_proc.hpp"
#include "mechanisms/rings/snabb/interlink.hpp"
#include "mechanisms/rings/snabb/life_cycle.hpp"

#include "tests/ring_model.hpp"

/// Memory that a model's threads allocate is Relacy's, which forgets to take this kind back.
void operator delete(void* memory, std::size_t /*bytes*/) noexcept { ::operator delete(memory); }

namespace ipclab::snabb {
namespace {

/// What a link's memory holds beside the ring.
template <std::size_t total>
class ModelPackets {
  public:
    explicit ModelPackets(std::size_t of_receiver) {
        for (std::size_t i = 0; i < total; ++i)
            owners_[i].store(
                static_cast<std::uint32_t>(i < of_receiver ? End::receiver : End::transmitter),
                std::memory_order::relaxed);
    }
    [[nodiscard]] static PacketNumber count() { return total; }
    [[nodiscard]] ModelAtomics::Atomic<std::uint32_t>& owner(PacketNumber number) const {
        return owners_[number - 1];
    }
    [[nodiscard]] rl::var<unsigned>& payload(PacketNumber number) { return payloads_[number - 1]; }

  private:
    mutable std::array<ModelAtomics::Atomic<std::uint32_t>, total> owners_;
    std::array<rl::var<unsigned>, total> payloads_;
};

/// Every packet is somewhere, and nowhere twice.
template <std::size_t total>
class Census {
  public:
    void count(PacketNumber number) {
        RL_ASSERT(number >= 1 && number <= total);
        RL_ASSERT(!seen_[number - 1]);
        seen_[number - 1] = true;
    }
    void count(FreeList& list) {
        while (!list.empty()) count(list.allocate());
    }
    void expect_all() const {
        for (const bool seen : seen_) RL_ASSERT(seen);
    }

  private:
    std::array<bool, total> seen_{};
};

// ---------------------------------------------------------------------------------------------

/// Five messages through a ring of four slots, which holds three. After the third, which it has not
/// pushed, the transmitter is replaced; after the second, which it has not pulled, the receiver.
struct InterlinkSuite : rl::test_suite<InterlinkSuite, 2> {
    static constexpr std::uint32_t size = 4;
    static constexpr std::size_t total = size + 2;
    static constexpr unsigned messages = 5;
    using Ring = InterlinkRing<ModelAtomics>;
    using Transmitter = InterlinkTransmitter<ModelAtomics, ModelPackets<total>>;
    using Receiver = InterlinkReceiver<ModelAtomics, ModelPackets<total>>;

    // Relacy allocates a model without regard for its alignment.
    std::unique_ptr<Ring> ring = std::make_unique<Ring>();
    std::array<Ring::Slot, size> slots{1, 2, 3, 4};
    ModelPackets<total> packets{size + 1};
    Census<total> census;

    void thread(unsigned index) {
        if (index == 0)
            transmit();
        else
            receive();
    }
    void transmit() {
        auto end = std::make_unique<Transmitter>(*ring, slots.data(), size, packets);
        for (unsigned message = 0; message < messages; ++message) {
            while (end->full()) ModelAtomics::yield();
            const PacketNumber packet = end->free_list().allocate();
            packets.payload(packet)($) = message;
            end->insert(packet);
            if (message == 2)
                end = std::make_unique<Transmitter>(*ring, slots.data(), size, packets);
            else
                end->push();
        }
        census.count(end->free_list());
    }
    void receive() {
        auto end = std::make_unique<Receiver>(*ring, slots.data(), size, packets);
        for (unsigned message = 0; message < messages; ++message) {
            while (end->empty()) ModelAtomics::yield();
            const PacketNumber packet = end->front();
            RL_ASSERT(packets.payload(packet)($) == message);
            end->extract(packet);
            if (message == 1)
                end = std::make_unique<Receiver>(*ring, slots.data(), size, packets);
            else
                end->pull();
        }
        census.count(end->free_list());
    }
    void after() {
        for (const Ring::Slot& slot : slots) census.count(slot.load(std::memory_order::relaxed));
        census.expect_all();
    }
};

// ---------------------------------------------------------------------------------------------

/// Batches of two through a ring of four slots, which holds three; the last message needs a flush,
/// and so does the third, after which both ends are replaced.
struct InterProcSuite : rl::test_suite<InterProcSuite, 2> {
    using Ring = InterProcRing<ModelAtomics, 4>;
    static constexpr std::size_t of_receiver = 4;
    static constexpr std::size_t total = of_receiver + 7;
    static constexpr unsigned messages = 6;
    static constexpr std::uint32_t batch = 2;
    using Flushes = ModelAtomics::Atomic<std::uint32_t>;
    using Transmitter = InterProcTransmitter<Ring, ModelPackets<total>, Flushes>;
    using Receiver = InterProcReceiver<Ring, ModelPackets<total>, Flushes>;

    std::unique_ptr<Ring> ring = std::make_unique<Ring>();
    Flushes flushes{0};
    ModelPackets<total> packets{of_receiver};
    Census<total> census;

    void thread(unsigned index) {
        if (index == 0)
            transmit();
        else
            receive();
    }
    void transmit() {
        auto end = std::make_unique<Transmitter>(*ring, packets, flushes, batch);
        for (unsigned message = 0; message < messages; ++message) {
            const PacketNumber packet = end->free_list().allocate();
            packets.payload(packet)($) = message;
            end->insert(packet);
            if (message % 3 == 2) {
                while (end->flush() > 0) ModelAtomics::yield();
                end = std::make_unique<Transmitter>(*ring, packets, flushes, batch);
            } else {
                end->push();
            }
        }
        census.count(end->free_list());
    }
    void receive() {
        auto end = std::make_unique<Receiver>(*ring, packets, flushes, batch);
        for (unsigned message = 0; message < messages; ++message) {
            while (end->output_count() == 0 && end->pull() == 0) ModelAtomics::yield();
            RL_ASSERT(packets.payload(end->front())($) == message);
            end->free_front();
            if (end->output_count() == 0 && message < 3)
                end = std::make_unique<Receiver>(*ring, packets, flushes, batch);
        }
        census.count(end->free_list());
    }
    void after() {
        const NumberSet in_slots = ring->in_slots(packets);
        for (PacketNumber number = 1; number <= total; ++number)
            if (in_slots[number] != 0) census.count(number);
        census.expect_all();
    }
};

// ---------------------------------------------------------------------------------------------

/// Two transmitters that want the same role, and a receiver. What an end writes while it is
/// attached, its successor, and whoever shuts the link down, must see.
struct LifeCycleSuite : rl::test_suite<LifeCycleSuite, 3> {
    ModelAtomics::Atomic<std::uint32_t> word{0};
    rl::var<unsigned> described{0};
    rl::var<unsigned> by_transmitters{0};
    rl::var<unsigned> by_receiver{0};
    ModelAtomics::Atomic<std::uint32_t> second_is_in{0};

    void thread(unsigned index) {
        LifeCycle life(word);
        if (life.begin_to_configure()) {
            described($) = 7;
            life.configured();
        }
        const End mine = index == 2 ? End::receiver : End::transmitter;
        while (!life.attach(mine)) ModelAtomics::yield();
        RL_ASSERT(described($) == 7);
        if (mine == End::receiver) {
            by_receiver($) = 1;
            while (second_is_in.load(std::memory_order::relaxed) == 0) ModelAtomics::yield();
            RL_ASSERT(life.reset(mine));
            return;
        }
        by_transmitters($) = by_transmitters($) + 1;
        if (by_transmitters($) == 1) {
            while (!life.reset(mine)) ModelAtomics::yield();
        } else {
            second_is_in.store(1, std::memory_order::relaxed);
            while (!life.shut_down(mine)) ModelAtomics::yield();
            RL_ASSERT(by_receiver($) == 1);
        }
    }
};

INSTANTIATE_TEST_SUITE_P(
    SnabbLink, RingModel,
    testing::Values(Model{"Interlink", run<InterlinkSuite>, 7, 50'000, 20'000, 0},
                    Model{"InterProc", run<InterProcSuite>, 8, 50'000, 20'000, 0},
                    Model{"LifeCycle", run<LifeCycleSuite>, 2, 50'000}),
    name_of_model);

}  // namespace
}  // namespace ipclab::snabb

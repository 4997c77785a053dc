// Two threads at the two ends of one Snabb link, on one mapping, for ThreadSanitizer to watch: a
// packet that changes hands without its order being said is reported. Without it, this checks what
// comes out.
#include "mechanisms/rings/snabb/link_ends.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>

namespace ipclab::snabb {
namespace {

/// A link without a name.
template <class Kind>
LinkMemory link_of(std::uint32_t slots) {
    const LinkShape shape = Kind::shape(slots);
    Fd object(must(::memfd_create("link", MFD_CLOEXEC), "memfd_create"));
    must(::ftruncate(object.get(), static_cast<off_t>(shape.object_bytes())), "ftruncate");
    LinkMemory memory(std::move(object), shape);
    new (&memory.header()) LinkHeader{};
    Kind::fill(memory);
    return memory;
}

void yield_until(auto&& ready) {
    while (!ready(std::memory_order::acquire)) std::this_thread::yield();
}

/// Sends `messages`, and replaces each end now and then while the other works. Returns how many did
/// not come out as they went in.
template <class Kind>
int wrong_after(std::uint32_t slots, std::uint32_t batch, int messages) {
    const LinkMemory link = link_of<Kind>(slots);
    const Packets packets = link.packets();
    const auto wait = [](auto&& ready) { yield_until(ready); };
    std::thread sender([&] {
        auto end = std::make_unique<typename Kind::Transmitter>(link, batch);
        for (int message = 0; message < messages; ++message) {
            const PacketNumber number = end->allocate(wait);
            std::memset(packets[number].data, message, 100);
            packets[number].length.store(100, std::memory_order::relaxed);
            end->publish(number);
            if (message % 100 != 99) continue;
            end->flush(wait);
            end = std::make_unique<typename Kind::Transmitter>(link, batch);
        }
        end->flush(wait);
    });
    int wrong = 0;
    auto end = std::make_unique<typename Kind::Receiver>(link, batch);
    for (int message = 0; message < messages; ++message) {
        const PacketNumber number = end->front(wait);
        for (int i = 0; i < 100; ++i)
            if (packets[number].data[i] != static_cast<std::byte>(message)) ++wrong;
        end->free_front(number);
        if (std::is_same_v<Kind, Interlink> && message % 70 == 69) {
            end->settle();
            end = std::make_unique<typename Kind::Receiver>(link, batch);
        }
    }
    sender.join();
    return wrong;
}

TEST(SnabbRingRace, InterProcPassesEveryPacketWhole) {
    EXPECT_EQ((wrong_after<InterProc>(InterProc::slots_by_default, 129, 3000)), 0);
}
TEST(SnabbRingRace, InterProcFlushesEveryPacketWhole) {
    EXPECT_EQ((wrong_after<InterProc>(InterProc::slots_by_default, 5, 3000)), 0);
}
TEST(SnabbRingRace, InterlinkPassesEveryPacketWhole) {
    EXPECT_EQ((wrong_after<Interlink>(8, 1, 3000)), 0);
}
TEST(SnabbRingRace, InterlinkPassesEveryBatchWhole) {
    EXPECT_EQ((wrong_after<Interlink>(64, 7, 3000)), 0);
}

}  // namespace
}  // namespace ipclab::snabb

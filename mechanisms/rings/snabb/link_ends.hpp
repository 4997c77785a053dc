// The ends of both kinds of link as an endpoint uses them: where an end waits, and when it hands
// over. `wait(ready)` returns when `ready(order)` says so, or throws.
#pragma once

#include "mechanisms/os/atomics.hpp"
#include "mechanisms/rings/snabb/inter_proc.hpp"
#include "mechanisms/rings/snabb/interlink.hpp"
#include "mechanisms/rings/snabb/life_cycle.hpp"
#include "mechanisms/rings/snabb/link_file.hpp"

#include <new>

namespace ipclab::snabb {

/// What an end counted. A cycle is one publication of the ring's index.
struct Cycles {
    std::uint64_t packets = 0;
    std::uint64_t cycles = 0;

    void add(std::uint64_t count) {
        packets += count;
        cycles += count > 0 ? 1 : 0;
    }
};

/// What the last end to leave does to the link: lets it lie for who comes, or closes it for good.
enum class LastOneOut { leaves_it, shuts_it_down };

// ---------------------------------------------------------------------------------------------

struct InterProc {
    static constexpr std::string_view name = "inter-proc";
    using Ring = InterProcRing<SystemAtomics>;
    static_assert(sizeof(Ring) == 4104 && offsetof(Ring, ret_pks) == 2048 &&
                  offsetof(Ring, write) == 4096 && offsetof(Ring, read) == 4100);
    using Flushes = std::atomic<std::uint32_t>;

    static constexpr std::uint32_t slots_by_default = Ring::size;
    static constexpr std::uint32_t slots_max = Ring::size;
    static constexpr std::uint32_t batch_by_default = worth_a_publication;

    /// The ring holds 256 packets, one way or the other; the input and output sides up to 255
    /// each; and each end has one in hand.
    static constexpr std::uint32_t of_transmitter = Ring::size + Ring::capacity + 1;
    static constexpr std::uint32_t of_receiver = Ring::capacity + 1;

    static LinkShape shape(std::uint32_t slots) {
        return {LinkKind::inter_proc, slots, of_transmitter + of_receiver, sizeof(Ring)};
    }
    static Ring& ring(const LinkMemory& memory) {
        return *std::launder(reinterpret_cast<Ring*>(memory.ring()));
    }
    static void fill(const LinkMemory& memory) {
        new (memory.ring()) Ring;
        const Packets packets = memory.packets();
        for (PacketNumber number = 1; number <= packets.count(); ++number)
            packets.owner(number) = static_cast<std::uint32_t>(
                number <= of_transmitter ? End::transmitter : End::receiver);
    }
    static std::string enter(const LinkMemory& /*memory*/, End /*end*/) { return ""; }
    static void leave(const LinkMemory& /*memory*/, End /*end*/, LastOneOut /*then*/) {}

    class Transmitter {
      public:
        Transmitter(const LinkMemory& memory, std::uint32_t batch)
            : packets_(memory.packets()),
              end_(ring(memory), packets_, memory.header().flushes, batch) {}

        PacketNumber allocate(auto&& wait) {
            if (end_.input_is_full())
                wait([&](std::memory_order) {
                    sent_.add(end_.push());
                    return !end_.input_is_full();
                });
            return end_.free_list().allocate();
        }
        void publish(PacketNumber packet) {
            end_.insert(packet);
            sent_.add(end_.push());
        }
        void flush(auto&& wait) {
            if (end_.input_count() > 0) wait([&](std::memory_order) { return try_to_flush(); });
        }
        bool try_to_flush() {
            const std::uint32_t before = end_.input_count();
            sent_.add(before - end_.flush());
            return end_.input_count() == 0;
        }
        [[nodiscard]] std::size_t free_packets() { return end_.free_list().size(); }
        [[nodiscard]] const Cycles& cycles() const { return sent_; }

      private:
        Packets packets_;
        InterProcTransmitter<Ring, Packets, Flushes> end_;
        Cycles sent_;
    };

    class Receiver {
      public:
        Receiver(const LinkMemory& memory, std::uint32_t batch)
            : packets_(memory.packets()),
              end_(ring(memory), packets_, memory.header().flushes, batch) {}

        PacketNumber front(auto&& wait) {
            if (end_.output_count() == 0)
                wait([&](std::memory_order) {
                    received_.add(end_.pull());
                    return end_.output_count() > 0;
                });
            return end_.front();
        }
        void free_front(PacketNumber /*packet*/) { end_.free_front(); }
        void settle() {}
        [[nodiscard]] std::size_t free_packets() { return end_.free_list().size(); }
        [[nodiscard]] const Cycles& cycles() const { return received_; }

      private:
        Packets packets_;
        InterProcReceiver<Ring, Packets, Flushes> end_;
        Cycles received_;
    };
};

// ---------------------------------------------------------------------------------------------

struct Interlink {
    static constexpr std::string_view name = "interlink";
    using Ring = InterlinkRing<SystemAtomics>;
    static_assert(sizeof(Ring) == 192 && offsetof(Ring, write) == 4 && offsetof(Ring, size) == 8 &&
                  offsetof(Ring, state) == 12 && offsetof(Ring, lwrite) == 64 &&
                  offsetof(Ring, nread) == 68 && offsetof(Ring, rmask) == 72 &&
                  offsetof(Ring, lread) == 128 && offsetof(Ring, nwrite) == 132 &&
                  offsetof(Ring, wmask) == 136);

    static constexpr std::uint32_t slots_by_default = 1024;
    static constexpr std::uint32_t slots_max = 1U << 17;
    /// A breath of one packet.
    static constexpr std::uint32_t batch_by_default = 1;

    /// Each end gives a packet before it gets one; a few more cost little.
    static constexpr std::uint32_t of_each_end = 4;

    static LinkShape shape(std::uint32_t slots) {
        return {LinkKind::interlink, slots, slots + 2 * of_each_end,
                sizeof(Ring) + slots * sizeof(Ring::Slot)};
    }
    static Ring& ring(const LinkMemory& memory) {
        return *std::launder(reinterpret_cast<Ring*>(memory.ring()));
    }
    static Ring::Slot* slots(const LinkMemory& memory) {
        return reinterpret_cast<Ring::Slot*>(memory.ring() + sizeof(Ring));
    }
    static void fill(const LinkMemory& memory) {
        Ring& made = *new (memory.ring()) Ring;
        LifeCycle life(made.state);
        life.begin_to_configure();
        const std::uint32_t size = memory.shape().slots;
        made.size = size;
        made.rmask = made.wmask = size - 1;
        const Packets packets = memory.packets();
        for (std::uint32_t index = 0; index < size; ++index)
            new (slots(memory) + index) Ring::Slot(index + 1);
        for (PacketNumber number = 1; number <= packets.count(); ++number)
            packets.owner(number) = static_cast<std::uint32_t>(
                number <= size + of_each_end ? End::receiver : End::transmitter);
        life.configured();
    }
    /// Who takes the seat of a dead one finds it up.
    static std::string enter(const LinkMemory& memory, End end) {
        LifeCycle life(ring(memory).state);
        if (life.attach(end) || life.is_up(end)) return "";
        return fmt::format("the link is {}", name_of(life.state()));
    }
    static void leave(const LinkMemory& memory, End end, LastOneOut then) {
        LifeCycle life(ring(memory).state);
        if (!life.reset(end) && then == LastOneOut::shuts_it_down) life.shut_down(end);
    }

    class Transmitter {
      public:
        Transmitter(const LinkMemory& memory, std::uint32_t batch)
            : packets_(memory.packets()),
              batch_(batch),
              end_(ring(memory), slots(memory), memory.shape().slots, packets_) {}

        PacketNumber allocate(auto&& wait) {
            if (end_.full()) {
                try_to_flush();  // or the receiver could wait for what waits for it
                wait([&](std::memory_order) { return !end_.full(); });
            }
            return end_.free_list().allocate();
        }
        void publish(PacketNumber packet) {
            end_.insert(packet);
            if (++inserted_ >= batch_) try_to_flush();
        }
        void flush(auto&& /*wait*/) { try_to_flush(); }
        bool try_to_flush() {
            if (inserted_ > 0) end_.push();
            sent_.add(std::exchange(inserted_, 0));
            return true;
        }
        [[nodiscard]] std::size_t free_packets() { return end_.free_list().size(); }
        [[nodiscard]] const Cycles& cycles() const { return sent_; }

      private:
        Packets packets_;
        const std::uint32_t batch_;
        InterlinkTransmitter<SystemAtomics, Packets> end_;
        std::uint32_t inserted_ = 0;
        Cycles sent_;
    };

    class Receiver {
      public:
        Receiver(const LinkMemory& memory, std::uint32_t batch)
            : packets_(memory.packets()),
              batch_(batch),
              end_(ring(memory), slots(memory), memory.shape().slots, packets_) {}

        PacketNumber front(auto&& wait) {
            if (end_.empty()) {
                settle();
                wait([&](std::memory_order) { return !end_.empty(); });
            }
            return end_.front();
        }
        void free_front(PacketNumber packet) {
            end_.extract(packet);
            if (++extracted_ >= batch_) settle();
        }
        void settle() {
            if (extracted_ > 0) end_.pull();
            received_.add(std::exchange(extracted_, 0));
        }
        [[nodiscard]] std::size_t free_packets() { return end_.free_list().size(); }
        [[nodiscard]] const Cycles& cycles() const { return received_; }

      private:
        Packets packets_;
        const std::uint32_t batch_;
        InterlinkReceiver<SystemAtomics, Packets> end_;
        std::uint32_t extracted_ = 0;
        Cycles received_;
    };
};

}  // namespace ipclab::snabb

// A link as an object with a name, and the two seats at it.
//
// Snabb keeps links in a run directory, /var/run/snabb/link/NAME, and whoever comes first makes the
// file. Nothing there keeps a second transmitter out, nothing tells of a death, and who asks for
// another size cuts the file short under the feet of who has it mapped. Here:
//   - a seat is a lock on one byte of the object, which the kernel drops with the process that held
//     it. So there is one transmitter and one receiver, and who comes second is told whose seat it
//     is; or waits for it, as long as it likes.
//   - beside the lock stands whether the seat's holder came and whether it left in good order: a
//     peer that came, holds no lock and did not say goodbye was killed.
//   - size and kind are looked at before a seat is taken, and nothing is ever resized.
#pragma once

#include "mechanisms/os/file_path.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/presence.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/rings/snabb/packets.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace ipclab::snabb {

/// Where a link is. The run directory is /dev/shm unless the name says another: "DIRECTORY/NAME".
class LinkPlace {
  public:
    /// An empty `asked` is a fresh name. The directory must exist.
    explicit LinkPlace(const std::string& asked);

    /// A link beside this one.
    [[nodiscard]] LinkPlace beside(std::string_view suffix) const;
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::string path() const { return fmt::format("{}/{}", directory_, name_); }
    /// As it can be asked for again.
    [[nodiscard]] std::string address() const;
    /// Registers the name; the object is then made.
    [[nodiscard]] NamedObject claim() const;
    [[nodiscard]] const std::string& directory() const { return directory_; }

  private:
    [[nodiscard]] bool is_default() const;

    std::string directory_;
    std::string name_;
};

enum class LinkKind : std::uint32_t { inter_proc = 0x70726f63, interlink = 0x6c696e6b };

/// The first page of a link, all of it ours; then the ring as the original has it, then, on pages
/// of their own, the packets.
struct LinkHeader {
    struct Seat {
        std::atomic<std::uint32_t> word;  ///< one of the words of Presence
        std::atomic<std::int32_t> pid;
    };
    std::atomic<std::uint64_t> complete;  ///< set when all else is written
    std::uint32_t kind;
    std::uint32_t slots;
    std::uint32_t packets;
    alignas(64) Seat seats[2];
    alignas(64) std::atomic<std::uint32_t> flushes;  ///< how often a transmitter has flushed
};

/// What must be known to make a link, or to see that one is what it ought to be.
struct LinkShape {
    LinkKind kind{};
    std::uint32_t slots = 0;
    std::uint32_t packets = 0;
    std::size_t ring_bytes = 0;

    [[nodiscard]] std::size_t packets_offset() const {
        return page_bytes() + round_up(ring_bytes, page_bytes());
    }
    [[nodiscard]] std::size_t object_bytes() const {
        return packets_offset() + round_up(packets * sizeof(Packet), page_bytes());
    }
};

/// The memory of a link, and the descriptor that it was mapped by.
class LinkMemory {
  public:
    LinkMemory(Fd object, const LinkShape& shape)
        : object_(std::move(object)), shape_(shape), memory_(object_.get(), shape.object_bytes()) {}

    [[nodiscard]] LinkHeader& header() const {
        return *reinterpret_cast<LinkHeader*>(memory_.data());
    }
    [[nodiscard]] std::byte* ring() const { return memory_.data() + page_bytes(); }
    [[nodiscard]] Packets packets() const {
        return {memory_.data() + shape_.packets_offset(), shape_.packets};
    }
    [[nodiscard]] const LinkShape& shape() const { return shape_; }
    [[nodiscard]] const Fd& object() const { return object_; }

  private:
    Fd object_;
    LinkShape shape_;
    Mapping memory_;
};

/// Makes the object, which must not exist; calls `fill(memory)` and then opens it to everybody.
/// Mode 0600 under any umask.
LinkMemory create_link(const LinkPlace& place, const LinkShape& shape,
                       const std::function<void(const LinkMemory&)>& fill);

/// One process's place at a link, given up in the destructor.
class Seat {
  public:
    /// Does not take it yet.
    Seat(const LinkMemory& link, End mine) : link_(&link), mine_(mine) {}
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat();

    /// False if another process has it.
    bool take();
    /// Who has it, as it wrote there itself.
    [[nodiscard]] pid_t holder() const;
    /// Of the other end. For Wait.
    [[nodiscard]] PeerState peer() const;

  private:
    [[nodiscard]] LinkHeader::Seat& at(End end) const {
        return link_->header().seats[static_cast<std::size_t>(end)];
    }

    const LinkMemory* link_;
    End mine_;
    bool taken_ = false;
};

/// A link that this process sits at. Opens it and takes the seat, waiting for either as long as
/// `patience` allows; Refused says what stood in the way. `slots` is 0, or how many it must have.
class AttachedLink {
  public:
    /// `describe(kind, slots)` is the shape of such a link; `enter(memory)` says "" or why the link
    /// does not let the end in at present.
    struct Rules {
        LinkKind kind;
        LinkShape (*shape)(std::uint32_t slots);
        std::string (*enter)(const LinkMemory& memory, End end);
    };
    AttachedLink(const LinkPlace& place, const Rules& rules, End mine, std::uint32_t slots,
                 std::chrono::milliseconds patience);

    [[nodiscard]] const LinkMemory& memory() const { return *memory_; }
    [[nodiscard]] const Seat& seat() const { return *seat_; }

  private:
    struct Obstacle {
        std::string what;
        int error = 0;  ///< as errno has it; 0 where there is none
    };
    /// What stands in the way at present. Throws what no patience can mend.
    std::optional<Obstacle> enter(const LinkPlace& place, const Rules& rules, End mine,
                                  std::uint32_t slots);

    std::optional<LinkMemory> memory_;
    std::optional<Seat> seat_;
};

}  // namespace ipclab::snabb

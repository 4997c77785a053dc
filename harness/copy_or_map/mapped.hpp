// A message in shared memory, and who maps that memory, and when.
//
// To map memory is to let a page table show it. mmap(2) itself only notes which addresses are to
// show which object. The entries of the page table are made one by one, each at the first touch of
// its page (a page fault; a read fault may bring some neighbours along), or all at once
// (MAP_POPULATE). munmap(2) removes them, and has to tell every CPU that may remember one. The
// pages themselves belong to the object, a memfd here, and keep what is written to them: so a
// message can be written in one mapping and read in another, and is never copied.
//
// Whoever keeps its mapping pays for it once. Whoever wants to see the memory only while a message
// is its own, as one would who does not trust the other, pays again and again:
//
//   persistent        both sides keep their mappings
//   receiver-remaps   the receiver maps the other's room when a message has come, and unmaps it
//   sender-remaps     the sender maps its room before it writes, and unmaps it before it says so
//
// A mapping that is made anew serves for k messages. The system calls, in the order of a message:
//
//   loan      wait for a vacant room; sender-remaps, first of k: mmap(2) to write
//   publish   sender-remaps, last of k: munmap(2); post that the room is filled
//   take      wait for a filled room; receiver-remaps, first of k: mmap(2) to read
//   release   receiver-remaps, last of k: munmap(2); post that the room is vacant
//
// Waiting and posting make none while both are awake (waiting/semaphore_set.hpp).
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/os/shm_object.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"

#include <array>
#include <new>

namespace ipclab {

/// Where in the memory one side's messages lie: whole pages.
struct Room {
    int memory;  ///< its descriptor
    std::size_t offset;
    std::size_t bytes;
};

/// A room that is mapped all the time, with all its pages, to read and write.
class KeptMapping {
  public:
    explicit KeptMapping(Room room) : mapping_(room.memory, room.bytes, room.offset) {}

    std::byte* begin_message() { return mapping_.data(); }
    void end_message() {}

  private:
    Mapping mapping_;
};

/// A room that is mapped for so many messages, unmapped, and mapped again for the next.
class RemadeMapping {
  public:
    /// As mmap(2)'s: PROT_READ or PROT_READ | PROT_WRITE; MAP_POPULATE or 0.
    RemadeMapping(Room room, int protection, int populate, std::uint64_t messages)
        : room_(room), protection_(protection), populate_(populate), messages_(messages) {}
    RemadeMapping(RemadeMapping&& other) noexcept
        : room_(other.room_),
          protection_(other.protection_),
          populate_(other.populate_),
          messages_(other.messages_),
          start_(std::exchange(other.start_, nullptr)),
          ended_(other.ended_) {}
    RemadeMapping& operator=(RemadeMapping&&) = delete;
    RemadeMapping(const RemadeMapping&) = delete;
    RemadeMapping& operator=(const RemadeMapping&) = delete;
    ~RemadeMapping() {
        if (start_ != nullptr) ::munmap(start_, room_.bytes);
    }

    std::byte* begin_message() {
        if (start_ == nullptr)
            start_ = must(::mmap(nullptr, room_.bytes, protection_, MAP_SHARED | populate_,
                                 room_.memory, static_cast<off_t>(room_.offset)),
                          "mmap");
        return static_cast<std::byte*>(start_);
    }
    void end_message() {
        if (++ended_ % messages_ != 0) return;
        must(::munmap(std::exchange(start_, nullptr), room_.bytes), "munmap");
    }

  private:
    Room room_;
    int protection_;
    int populate_;
    std::uint64_t messages_;
    void* start_ = nullptr;
    std::uint64_t ended_ = 0;
};

/// What both sides see all the time, whoever maps the messages: their lengths, and the semaphores.
template <SemaphoreSet Set>
struct Control {
    struct alignas(64) Message {
        std::uint64_t bytes;
    };
    std::array<Message, 2> by_side;
    typename Set::State semaphores;
};

/// One process's end. `Mine` and `Theirs` are how it has the two rooms mapped.
template <SemaphoreSet Set, class Mine, class Theirs>
class MappedEndpoint {
    static constexpr std::chrono::seconds timeout{10};

  public:
    MappedEndpoint(Control<Set>& control, std::size_t room_bytes, Side side, Mine mine,
                   Theirs theirs)
        : control_(&control),
          semaphores_(control.semaphores, {}),
          room_bytes_(room_bytes),
          side_(side),
          mine_(std::move(mine)),
          theirs_(std::move(theirs)) {}

    Bytes loan(std::size_t n) {
        if (n > room_bytes_)
            throw Refused("loan", fmt::format("there is room for {} bytes", room_bytes_), EMSGSIZE);
        wait(vacant(side_), "loan");
        return {mine_.begin_message(), n};
    }
    void publish(std::size_t n) {
        mine_.end_message();
        length_of(side_) = n;
        semaphores_.post(filled(side_));
    }

    View take() {
        wait(filled(other(side_)), "take");
        const std::uint64_t n = length_of(other(side_));
        if (n > room_bytes_)
            throw Refused("take", "the peer names a length that the room cannot hold");
        return {theirs_.begin_message(), n};
    }
    void release() {
        theirs_.end_message();
        semaphores_.post(vacant(other(side_)));
    }

    [[nodiscard]] std::size_t message_bytes_max() const { return room_bytes_; }
    [[nodiscard]] std::size_t capacity_bytes() const { return room_bytes_; }

  private:
    void wait(int semaphore, std::string_view step) {
        Wait patience(step, timeout);
        semaphores_.wait(semaphore, [&] { patience.glance(); });
    }
    /// Volatile: it is read once, so that the peer cannot change it after the check.
    volatile std::uint64_t& length_of(Side sender) const {
        return control_->by_side[static_cast<std::size_t>(sender)].bytes;
    }

    Control<Set>* control_;
    Set semaphores_;
    std::size_t room_bytes_;
    Side side_;
    Mine mine_;
    Theirs theirs_;
};

static_assert(Conversing<MappedEndpoint<PureFutexSemaphores, KeptMapping, RemadeMapping>>);

/// The memory that a pair inherits: a room for each side's messages whose pages exist before the
/// first one (memfd_create(2), posix_fallocate(3)), and the control area (mmap(2), MAP_ANONYMOUS).
template <SemaphoreSet Set>
class SharedRooms {
  public:
    /// Throws LimitReached when there is not enough memory.
    explicit SharedRooms(std::size_t message_bytes)
        : room_bytes_(round_up(message_bytes, page_bytes())),
          memory_(must(::memfd_create("ipclab", MFD_CLOEXEC), "memfd_create")),
          control_(new (must(::mmap(nullptr, sizeof(Control<Set>), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
                             "mmap")) Control<Set>{}) {
        Set::create(control_->semaphores);
        allocate_memory(memory_, 2 * room_bytes_);
    }
    SharedRooms(const SharedRooms&) = delete;
    SharedRooms& operator=(const SharedRooms&) = delete;
    ~SharedRooms() { ::munmap(control_, sizeof(Control<Set>)); }

    [[nodiscard]] Room room_of(Side sender) const {
        return {memory_.get(), sender == Side::initiator ? 0 : room_bytes_, room_bytes_};
    }

    template <class Mine, class Theirs>
    MappedEndpoint<Set, Mine, Theirs> attach(Side side, Mine mine, Theirs theirs) {
        return {*control_, room_bytes_, side, std::move(mine), std::move(theirs)};
    }

  private:
    std::size_t room_bytes_;
    Fd memory_;
    Control<Set>* control_;
};

}  // namespace ipclab

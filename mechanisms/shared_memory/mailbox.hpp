// A mailbox: room for one message in each direction, in memory that two processes have mapped.
//
// This is what all of this folder do with their memory, wherever they have it from. At its start
// lie the two messages' lengths and the state of four semaphores (waiting/semaphore_set.hpp), which
// are one of many kinds. The two rooms follow, page by page. A sender waits until its room is
// vacant, writes the message there, notes its length and posts `filled`; the receiver waits for
// that, reads the message where it lies, and posts `vacant`.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/mapping.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

#include <new>

namespace ipclab {

/// One process's end of it. `Memory` has data() and size(), and unmaps what it stands for when it
/// ends.
template <SemaphoreSet Set, class Memory = Mapping>
class Mailbox {
    static constexpr std::size_t default_room_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t room_bytes_max = std::size_t{1} << 46;

    struct Header {
        struct alignas(64) Message {
            std::uint64_t bytes;
        };
        Message by_initiator;
        Message by_responder;
        typename Set::State semaphores;
    };
    static_assert(sizeof(Header) <= 4096, "the first room begins on the second page");

  public:
    using Objects = typename Set::Objects;

    /// A message takes a wait and a post on each side; the sender finds its room vacant.
    static constexpr SystemCalls send_calls{Set::wait_calls.peer_awake + Set::post_calls.peer_awake,
                                            Set::wait_calls.peer_awake +
                                                Set::post_calls.peer_asleep};
    static constexpr SystemCalls receive_calls{
        Set::wait_calls.peer_awake + Set::post_calls.peer_awake,
        Set::wait_calls.peer_asleep + Set::post_calls.peer_awake};

    /// How much memory to make.
    static std::size_t bytes_for(const Needs& needs) {
        const bool by_default = needs.message_bytes_max == 0 && needs.capacity_bytes == 0;
        const std::size_t wanted =
            by_default ? default_room_bytes
                       : std::max({needs.message_bytes_max, needs.capacity_bytes, std::size_t{1}});
        if (wanted > room_bytes_max)
            throw Refused("create", fmt::format("{} bytes are more than can be mapped", wanted));
        return page_bytes() + 2 * round_up(wanted, page_bytes());
    }

    /// Done once, by the creator, which keeps the Objects. `first_page` is of zero bytes, and may
    /// be unmapped after.
    static Objects create(std::byte* first_page) {
        return Set::create((new (first_page) Header{})->semaphores);
    }

    /// `conversation` is what Presence::create was told. `objects` are the creator's, or empty in a
    /// process that has opened the mechanism by its address. Throws Refused for memory of a size
    /// that no mailbox has.
    Mailbox(Memory memory, const Objects& objects, const std::string& conversation, Side mine,
            std::chrono::milliseconds timeout)
        : memory_(std::move(memory)),
          room_bytes_(room_bytes_in(memory_.size())),
          header_(std::launder(reinterpret_cast<Header*>(memory_.data()))),
          semaphores_(header_->semaphores, objects),
          peer_(conversation, mine),
          mine_(mine),
          timeout_(timeout) {}

    Bytes loan(std::size_t n) {
        if (n > room_bytes_)
            throw Refused("loan", fmt::format("the mailbox holds {} bytes", room_bytes_), EMSGSIZE);
        if (!room_is_mine_) {
            Wait wait("loan", timeout_, &peer_);
            semaphores_.wait(vacant(mine_), [&] { wait.glance(); });
        }
        room_is_mine_ = true;
        return {room_of(mine_), n};
    }
    void publish(std::size_t n) {
        message_of(mine_).bytes = n;
        room_is_mine_ = false;
        semaphores_.post(filled(mine_));
    }

    View take() {
        Wait wait("take", timeout_, &peer_);
        semaphores_.wait(filled(other(mine_)), [&] { wait.glance(); });
        // Read once: the peer could write another length after the check.
        const std::uint64_t n =
            *static_cast<volatile std::uint64_t*>(&message_of(other(mine_)).bytes);
        if (n > room_bytes_)
            throw Refused("take", "the peer names a length that the mailbox cannot hold");
        return {room_of(other(mine_)), n};
    }
    void release() { semaphores_.post(vacant(other(mine_))); }

    [[nodiscard]] std::size_t message_bytes_max() const { return room_bytes_; }
    [[nodiscard]] std::size_t capacity_bytes() const { return room_bytes_; }
    [[nodiscard]] const Memory& memory() const { return memory_; }

  private:
    static std::size_t room_bytes_in(std::size_t memory_bytes) {
        if (memory_bytes < 3 * page_bytes())
            throw Refused("attach", fmt::format("an object of {} bytes is no mailbox: it is too "
                                                "small",
                                                memory_bytes));
        return (memory_bytes - page_bytes()) / 2 / 64 * 64;
    }
    [[nodiscard]] std::byte* room_of(Side sender) const {
        return memory_.data() + page_bytes() + (sender == Side::initiator ? 0 : room_bytes_);
    }
    [[nodiscard]] typename Header::Message& message_of(Side sender) const {
        return sender == Side::initiator ? header_->by_initiator : header_->by_responder;
    }

    Memory memory_;
    std::size_t room_bytes_;
    Header* header_;
    Set semaphores_;
    Presence peer_;
    Side mine_;
    std::chrono::milliseconds timeout_;
    bool room_is_mine_ = false;
};

}  // namespace ipclab

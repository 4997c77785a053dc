// A memory object of its own for every message, handed to the receiver.
//
// The sender makes an object (memfd_create(2)), maps it, writes the message, and gives it away: its
// descriptor travels over a Unix socket (SCM_RIGHTS, unix(7)), and that also wakes the receiver,
// which maps the object, reads, and lets go. Nothing is copied, and nothing is shared any more once
// both are done. But every page of every message is new: the kernel has to find it, clear it, enter
// it in two page tables, and take it back in the end.
//
// A receiver must fear that the object is smaller than it seems, or shrinks: a load beyond its end
// is SIGBUS. Seals rule the second out, so the sender sets them while the object is empty of
// meaning, and the receiver looks at seals and size before it maps.
//
//   loan      memfd_create(2), ftruncate(2), fcntl(2) with F_ADD_SEALS, mmap(2) to write
//   publish   sendmsg(2) with the descriptor; munmap(2), close(2)
//   take      recvmsg(2); fcntl(2) with F_GET_SEALS, fstat(2); mmap(2) to read
//   release   munmap(2), close(2): with this last descriptor the pages go
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/descriptor_passing.hpp"
#include "mechanisms/os/fd.hpp"

#include <array>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>

namespace ipclab {

inline constexpr int fresh_object_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

inline Fd make_fresh_object(std::size_t bytes) {
    Fd object(must(::memfd_create("ipclab", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
    must(::ftruncate(object.get(), static_cast<off_t>(bytes)), "ftruncate");
    must(::fcntl(object.get(), F_ADD_SEALS, fresh_object_seals), "fcntl(F_ADD_SEALS)");
    return object;
}

/// Throws Refused for an object that is not of this size for good.
inline void check_fresh_object(const Fd& object, std::size_t bytes) {
    const int seals = ::fcntl(object.get(), F_GET_SEALS);
    if (seals == -1 || (seals & fresh_object_seals) != fresh_object_seals)
        throw Refused("fcntl(F_GET_SEALS)",
                      "the peer's object is not sealed, and might shrink under our hands");
    struct stat status {};
    must(::fstat(object.get(), &status), "fstat");
    if (static_cast<std::size_t>(status.st_size) != bytes)
        throw Refused("fstat", fmt::format("the peer's object has {} bytes, and a message has {}",
                                           status.st_size, bytes));
}

/// One message's object, mapped.
class MappedObject {
  public:
    MappedObject() = default;
    /// `protection` as mmap(2)'s.
    MappedObject(Fd object, std::size_t bytes, int protection)
        : object_(std::move(object)),
          start_(must(::mmap(nullptr, bytes, protection, MAP_SHARED, object_.get(), 0), "mmap")),
          bytes_(bytes) {}
    MappedObject(MappedObject&& other) noexcept
        : object_(std::move(other.object_)),
          start_(std::exchange(other.start_, nullptr)),
          bytes_(other.bytes_) {}
    MappedObject& operator=(MappedObject&& other) noexcept {
        let_go();
        object_ = std::move(other.object_);
        start_ = std::exchange(other.start_, nullptr);
        bytes_ = other.bytes_;
        return *this;
    }
    MappedObject(const MappedObject&) = delete;
    MappedObject& operator=(const MappedObject&) = delete;
    ~MappedObject() { let_go(); }

    void let_go() {
        if (start_ != nullptr) ::munmap(std::exchange(start_, nullptr), bytes_);
        object_.reset();
    }
    [[nodiscard]] Bytes bytes() const { return {static_cast<std::byte*>(start_), bytes_}; }
    [[nodiscard]] int descriptor() const { return object_.get(); }

  private:
    Fd object_;
    void* start_ = nullptr;
    std::size_t bytes_ = 0;
};

/// One process's end: all messages are of one size.
class FreshObjectEndpoint {
    static constexpr std::chrono::seconds timeout{10};

  public:
    FreshObjectEndpoint(Fd socket, std::size_t message_bytes)
        : socket_(std::move(socket)), message_bytes_(message_bytes) {}

    Bytes loan(std::size_t n) {
        refuse_other_than(n, "loan");
        outgoing_ = MappedObject(make_fresh_object(n), n, PROT_READ | PROT_WRITE);
        return outgoing_.bytes();
    }
    void publish(std::size_t n) {
        refuse_other_than(n, "publish");
        send_descriptor(socket_.get(), outgoing_.descriptor());
        outgoing_.let_go();
    }

    View take() {
        Fd object = receive_descriptor(socket_.get(), timeout);
        check_fresh_object(object, message_bytes_);
        incoming_ = MappedObject(std::move(object), message_bytes_, PROT_READ);
        return incoming_.bytes();
    }
    void release() { incoming_.let_go(); }

    [[nodiscard]] std::size_t message_bytes_max() const { return message_bytes_; }
    [[nodiscard]] std::size_t capacity_bytes() const { return message_bytes_; }

  private:
    void refuse_other_than(std::size_t n, const char* step) const {
        if (n != message_bytes_)
            throw Refused(step, fmt::format("a message has {} bytes here", message_bytes_));
    }

    Fd socket_;
    std::size_t message_bytes_;
    MappedObject outgoing_;
    MappedObject incoming_;
};

static_assert(Conversing<FreshObjectEndpoint>);

/// The socket that a pair inherits (socketpair(2)): who waits for a message sleeps in recvmsg(2),
/// or calls it again and again.
class ObjectSockets {
  public:
    ObjectSockets(std::size_t message_bytes, Waiting waiting) : message_bytes_(message_bytes) {
        int ends[2];
        const int blocking = waiting == Waiting::spins ? SOCK_NONBLOCK : 0;
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | blocking, 0, ends),
             "socketpair");
        ends_ = {Fd(ends[0]), Fd(ends[1])};
        // The deadline is looked at now and then.
        const timeval glance{0, std::chrono::microseconds(glance_interval).count()};
        for (const Fd& end : ends_)
            must(::setsockopt(end.get(), SOL_SOCKET, SO_RCVTIMEO, &glance, sizeof glance),
                 "setsockopt(SO_RCVTIMEO)");
    }

    FreshObjectEndpoint attach(Side side) {
        Fd mine = std::move(ends_[static_cast<std::size_t>(side)]);
        stand_aside();
        return {std::move(mine), message_bytes_};
    }
    void stand_aside() { ends_ = {}; }

  private:
    std::size_t message_bytes_;
    std::array<Fd, 2> ends_;
};

}  // namespace ipclab

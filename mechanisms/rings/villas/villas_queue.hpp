// VILLAS queue: pointers to samples, through a queue that any number of processes may share.
//
// After the shmem node-type of VILLASnode (version 1.2), by which a simulator of power grids hands
// time-stamped samples to programs of its users. Nothing is copied: the sender fills a sample in
// shared memory, what crosses is a pointer to it, and the receiver returns the sample to the
// sender's pool when it has read it. Each direction is one object with a queue (queue.hpp) and a
// pool (pool.hpp), and the reader is woken as the queue's mode says (signalled_queue.hpp): it looks
// all the time, or sleeps on a condition variable, or on a futex.
//
//   create    for each direction: open(2) with O_TMPFILE, posix_fallocate(3), linkat(2); an
//             external program, if asked for: fork(2), execvp(3)
//   attach    shm_open(3), mmap(2)
//   exchange  pull a free sample, fill it, push it; pull, read, push it back to the free ones
//   detach    close the own direction, in which what is queued stays readable; munmap(2)
//   destroy   shm_unlink(3)
//
// In the original each side creates the object that it writes to, and the two meet by the names of
// both: see meeting.hpp. Here the creator makes both directions, and the peer finds them by one
// name.
#pragma once

#include "mechanisms/os/joined.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/rings/villas/endpoint.hpp"
#include "mechanisms/rings/villas/external_program.hpp"

namespace ipclab {

/// What a user of villas-queue may ask for beyond Needs; 0 and empty stand for the default.
struct VillasOptions {
    std::uint64_t queuelen = 0;   ///< samples in use at a time, each way (512, or what Needs asks)
    std::uint64_t samplelen = 0;  ///< values of 8 bytes in a sample (64, or what Needs asks)
    /// How the two directions are waited for, by who writes to them; nothing: as the catalogue's
    /// name says.
    std::optional<villas::Mode> by_initiator{};
    std::optional<villas::Mode> by_responder{};
    /// A program to start once the queue can be opened, which it is to talk to: its words, of which
    /// "{}" stands for the queue's address. It ends with the mechanism. One that cannot be started
    /// is Refused.
    std::vector<std::string> exec{};
};

template <villas::Mode mode>
class VillasQueue {
    static constexpr std::string_view name_in_front = "villas-queue/";
    static constexpr std::string_view name_of_mode = mode == villas::Mode::polling   ? "polling"
                                                     : mode == villas::Mode::pthread ? "pthread"
                                                                                     : "futex";
    /// Large samples, of which no queuelen was asked for, are fewer.
    static constexpr std::size_t default_bytes_max = std::size_t{4} << 20;

  public:
    using Endpoint = villas::Endpoint<Presence>;

    static VillasQueue create(const Needs& needs) { return create(needs, {}); }
    static VillasQueue create(const Needs& needs, const VillasOptions& options) {
        VillasQueue made(needs, {object_name(needs.address.name, "villas-queue")});
        const villas::DirectionOptions asked = lengths(needs, options);
        made.presence_ = Presence::create(made.where_.name);
        for (const Side side : {Side::initiator, Side::responder}) {
            const bool forth = side == Side::initiator;
            villas::DirectionOptions direction = asked;
            direction.mode = (forth ? options.by_initiator : options.by_responder).value_or(mode);
            const Fd object = villas::make_direction(direction);
            const std::string name = name_of(made.where_.name, side);
            made.objects_[forth ? 0 : 1] = NamedObject(ObjectKind::posix_shm, name);
            villas::give_name(object, name);
        }
        if (!options.exec.empty())
            made.program_ = villas::ExternalProgram(options.exec, made.where_.name);
        return made;
    }
    static VillasQueue open(const Address& where, const Needs& needs) {
        return {needs, {object_name(where.name, "villas-queue")}};
    }
    [[nodiscard]] Address address() const { return where_; }
    /// Of the program that `exec` started; 0 if there is none.
    [[nodiscard]] pid_t program() const { return program_.pid(); }

    Endpoint attach(Role role) {
        const auto me = static_cast<villas::Holder>(role.side == Side::initiator ? 1 : 2);
        villas::DirectionView write(name_of(where_.name, role.side), me);
        villas::DirectionView read(name_of(where_.name, other(role.side)), me);
        return {std::move(write), std::move(read), Presence(where_.name, role.side),
                std::max<std::size_t>(needs_.batch_messages, 1), needs_.timeout};
    }

    static constexpr Facts facts{
        .name = Joined<name_in_front, name_of_mode>::view,
        .family = "rings",
        .sender = Dialect::lends,
        .receiver = Dialect::lends,
        .copies = 0,
        .send_calls = {0, mode == villas::Mode::polling ? 0 : 1},
        /// In a condition variable: to sleep; and, since glibc takes it for granted that others
        /// wait for a mutex that a woken waiter has locked, to wake nobody when it is unlocked.
        .receive_calls = {0, mode == villas::Mode::polling   ? 0
                             : mode == villas::Mode::pthread ? 2
                                                             : 1},
        .keeps_boundaries = true,
        .two_way = true,
        .addressing = Addressing::object_name,
        .connects = Connects::any_process,
        .guard = Guard::mode_0600,
        .lifetime = Lifetime::kernel,
        .message_bytes_max = "a sample (512 B or as asked)",
        .capacity = "512 samples",
        .priorities = false,
        .senders = 1,
        .receivers = 1,
        .waiting = mode == villas::Mode::polling   ? Waiting::spins
                   : mode == villas::Mode::pthread ? Waiting::sleeps
                                                   : Waiting::spins_then_sleeps,
        .after_a_kill = mode == villas::Mode::pthread ? AfterAKill::survivor_may_hang
                                                      : AfterAKill::survivor_is_told,
        .lesson = mode == villas::Mode::pthread
                      ? "A lock-free queue needs no lock to pass a pointer, and then takes one for "
                        "every message, for a condition variable that no kill may hit."
                      : "Passing pointers copies nothing and costs a pool: what has been read must "
                        "find its way back, or the sender stands still.",
    };

  private:
    VillasQueue(Needs needs, Address where) : needs_(std::move(needs)), where_(std::move(where)) {}

    static villas::DirectionOptions lengths(const Needs& needs, const VillasOptions& options) {
        villas::DirectionOptions made;
        if (options.samplelen != 0)
            made.samplelen = options.samplelen;
        else if (needs.message_bytes_max != 0)
            made.samplelen = (needs.message_bytes_max - 1) / villas::value_bytes + 1;
        const std::size_t sample_bytes = made.samplelen * villas::value_bytes;
        if (options.queuelen != 0)
            made.queuelen = options.queuelen;
        else if (needs.capacity_bytes != 0)
            made.queuelen = (needs.capacity_bytes - 1) / std::max<std::size_t>(sample_bytes, 1) + 1;
        else
            made.queuelen = std::clamp<std::uint64_t>(default_bytes_max /
                                                          std::max<std::size_t>(sample_bytes, 1),
                                                      2, villas::default_queuelen);
        return made;
    }
    static std::string name_of(const std::string& conversation, Side writer) {
        return fmt::format("{}.{}", conversation,
                           writer == Side::initiator ? "from-initiator" : "from-responder");
    }

    Needs needs_;
    Address where_;
    NamedObject presence_;
    NamedObject objects_[2];
    villas::ExternalProgram program_;  // ends first
};

}  // namespace ipclab

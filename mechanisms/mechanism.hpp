// The one interface of ipclab.
//
// A mechanism is created once, attached in each of two processes, used, detached and destroyed.
// Attaching gives an endpoint. An endpoint speaks one of two dialects in each direction:
//
//                sender                            receiver
//   copies       send(message)                     receive(buffer)
//   lends        room = loan(n); publish(n)        message = take(); release()
//
// What copies takes the message from the caller's memory and leaves it in the caller's memory.
// What lends hands out memory that both processes see: the message is made and read in place.
// `put` and `get` are the only code that knows that there are two dialects.
//
// Everything here is a template, because a virtual call costs as much as a short message through
// shared memory does (up to 17 ns against 10 to 15), and not the same each time.
#pragma once

#include "mechanisms/os/bytes.hpp"
#include "mechanisms/os/error.hpp"
#include "mechanisms/os/stores.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ipclab {

enum class Side { initiator, responder };

constexpr Side other(Side side) {
    return side == Side::initiator ? Side::responder : Side::initiator;
}

/// Who a process is in a conversation; `index` counts where a mechanism serves several of a side.
struct Role {
    Side side = Side::initiator;
    int index = 0;
};

/// Where a process that inherited nothing finds the object, as the mechanism has it: a name, a path
/// (that of a socket, of a queue of bytes, or the file for ftok(3)), or a port.
struct Address {
    std::string name;
};

/// What the user of a mechanism asks of it. Where 0 stands for the mechanism's own default. What
/// this machine cannot give is refused (LimitReached), never cut down.
struct Needs {
    /// The largest message that should travel whole; larger ones travel in rounds (rounds.hpp).
    std::size_t message_bytes_max = 0;
    /// How much unread payload should be accepted before a sender has to wait.
    std::size_t capacity_bytes = 0;
    /// How long a single wait may last before it throws TimedOut.
    std::chrono::milliseconds timeout{10'000};
    /// How many messages a sender hands over together; what is less waits for `flush`. 0: as the
    /// mechanism does by itself.
    std::size_t batch_messages = 0;
    /// Where messages are made in place: how to store them. Nothing: as the mechanism finds best.
    std::optional<Stores> stores{};
    /// Where to make the object; it must not exist. Empty: at a fresh name that begins with
    /// "ipclab-".
    Address address{};
};

// ---------------------------------------------------------------------------------------------
// Facts: what a mechanism promises. The tests hold it to every word.

enum class Dialect { copies, lends, notifies };
/// How the peer finds the object. A key is made from a file (ftok(3)); an abstract name is a
/// socket's that no file system holds.
enum class Addressing { inherited, object_name, file_name, key_file, abstract_name, port };
/// Whether a sender names the process that is to receive, or an object in between (Silberschatz:
/// direct and indirect communication).
enum class Naming { indirect, direct };
enum class Connects { related_processes, any_process };
/// What keeps a stranger, another user of the machine, out.
enum class Guard { inheritance, mode_0600, peer_credentials, ptrace_access, nothing_but_the_port };
enum class Lifetime { process, kernel, file_system };
enum class Delivery { reliable, may_lose };
/// What happens to who is left when the peer is killed at a bad moment: told by an error, or, as
/// the mechanism's lesson tells, left to wait for ever.
enum class AfterAKill { survivor_is_told, survivor_may_hang };
enum class Waiting { sleeps, spins, spins_yielding, spins_then_sleeps, polls_sleeping };

/// System calls per message on one side. The second figure is for a wait that was in vain at first:
/// a sender that has a sleeping peer to wake, a receiver that has to go to sleep.
struct SystemCalls {
    int peer_awake;
    int peer_asleep;
};

struct Facts {
    std::string_view name;    ///< in the catalogue: "pipe", "spsc-ring/futex"
    std::string_view family;  ///< its folder: "pipes", "rings"
    Dialect sender;
    Dialect receiver;
    int copies;  ///< of the payload by the mechanism, from the sender's memory to the receiver's
    SystemCalls send_calls;
    SystemCalls receive_calls;
    bool keeps_boundaries;  ///< in the kernel object itself, before any framing of ours
    bool two_way;           ///< one object carries both directions of a conversation
    Addressing addressing;
    Naming naming = Naming::indirect;
    Connects connects;
    Guard guard;
    Lifetime lifetime;
    std::string_view message_bytes_max;  ///< largest message that travels whole
    std::string_view capacity;           ///< unread payload that a sender may run ahead, by default
    bool priorities;
    int senders;    ///< that one object serves
    int receivers;  ///< that one object serves
    Waiting waiting;
    Delivery delivery = Delivery::reliable;
    AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    bool unread_outlives_sender = true;  ///< else it is in the sender's own memory until it is read
    std::string_view lesson;             ///< the sentence that a student should leave with
};

// ---------------------------------------------------------------------------------------------
// The dialects and the mechanism.

/// Sends one whole message; waits for room. Throws PeerGone, TimedOut, Refused.
template <class E>
concept CopyingSender = requires(E e, View out) {
    e.send(out);
};

/// Waits for one whole message, copies it to the front of `in` and returns its size. A message that
/// does not fit is Refused. Throws Closed, PeerGone, TimedOut.
template <class E>
concept CopyingReceiver = requires(E e, Bytes in) {
    { e.receive(in) } -> std::same_as<std::size_t>;
};

/// `loan(n)` waits for room and returns n bytes of shared memory, the caller's until `publish`.
/// A second loan without publishing takes the place of the first.
template <class E>
concept LendingSender = requires(E e, std::size_t n) {
    { e.loan(n) } -> std::same_as<Bytes>;
    e.publish(n);
};

/// `take()` waits for a message and shows it; it stays readable until `release()`.
template <class E>
concept LendingReceiver = requires(E e) {
    { e.take() } -> std::same_as<View>;
    e.release();
};

/// Carries no payload: `notify()` says that something has happened, `wait()` waits until it has
/// been said, and throws as a receiver does. Notifications that nobody has waited for yet may be
/// one.
template <class E>
concept Notifying = requires(E e) {
    e.notify();
    e.wait();
};

template <class E>
concept Conversing = (CopyingSender<E> ||
                      LendingSender<E>)&&(CopyingReceiver<E> ||
                                          LendingReceiver<E>)&&requires(const E e) {
    /// The largest message that travels whole.
    { e.message_bytes_max() } -> std::same_as<std::size_t>;
    /// Unread payload that is accepted, in messages of the largest size that fits, before a sender
    /// waits.
    { e.capacity_bytes() } -> std::same_as<std::size_t>;
};

/// One process's end of a conversation. One thread may send while another receives.
template <class E>
concept Endpoint = Conversing<E> || Notifying<E>;

template <class M>
concept Mechanism = requires(M m, const Needs& needs, Role role) {
    { M::facts } -> std::convertible_to<Facts>;
    { M::create(needs) } -> std::same_as<M>;
    { m.attach(role) } -> Endpoint;
};

/// A mechanism that a process can join which inherited nothing; it does so as the initiator, as a
/// client does, while the creator's side answers.
template <class M>
concept Addressed = Mechanism<M> &&
    requires(const M made, const Address& where, const Needs& needs) {
    { made.address() } -> std::same_as<Address>;
    { M::open(where, needs) } -> std::same_as<M>;
};

/// What `attach` returns.
template <Mechanism M>
using EndpointOf = decltype(std::declval<M&>().attach(Role{}));

/// For a process that made the object and takes no part in the conversation: lets go of whatever
/// would keep the others from noticing each other's end. Destroying the object remains its duty.
template <Mechanism M>
void stand_aside(M& mechanism) {
    if constexpr (requires { mechanism.stand_aside(); }) mechanism.stand_aside();
}

/// Makes published messages visible. Only a mechanism that publishes in batches has something to
/// do.
template <class E>
void flush(E& endpoint) {
    if constexpr (requires { endpoint.flush(); }) endpoint.flush();
}

/// Of how many messages of this size one makes all of them visible.
template <class E>
std::size_t publish_every(const E& endpoint, std::size_t message_bytes) {
    if constexpr (requires { endpoint.publish_every(message_bytes); })
        return endpoint.publish_every(message_bytes);
    else
        return 1;
}

/// How to store into the latest loan.
template <class E>
Stores stores_of(const E& endpoint) {
    if constexpr (requires { endpoint.stores(); })
        return endpoint.stores();
    else
        return Stores::plain;
}

/// What an endpoint counted since it was attached, for who wants to know more than times: an
/// endpoint that counts has `counters()`, which returns an array of these.
struct Counter {
    std::string_view name;  ///< "packets", "cycles"
    std::uint64_t value = 0;
};

template <class E>
auto counters_of(const E& endpoint) {
    if constexpr (requires { endpoint.counters(); })
        return endpoint.counters();
    else
        return std::array<Counter, 0>{};
}

// ---------------------------------------------------------------------------------------------
// put and get.

/// Sends one message of scratch.size() bytes, made by `fill(Bytes)` or, if it obeys hints,
/// `fill(Bytes, Stores)`, which runs exactly once, on the memory that crosses: on the loan where
/// the endpoint lends, else on `scratch`.
template <class E>
[[gnu::always_inline]] inline void put(E& endpoint, Bytes scratch, auto&& fill) {
    const auto fill_as = [&](Bytes message, Stores stores) {
        if constexpr (std::invocable<decltype(fill), Bytes, Stores>)
            fill(message, stores);
        else
            fill(message);
    };
    if constexpr (LendingSender<E>) {
        const Bytes loan = endpoint.loan(scratch.size());
        fill_as(loan, stores_of(endpoint));
        endpoint.publish(scratch.size());
    } else {
        fill_as(scratch, Stores::plain);
        endpoint.send(scratch);
    }
}

/// Receives one message and returns what `use(View)` makes of it, which runs exactly once: on the
/// shared memory where the endpoint lends, else on `scratch`, which must be large enough.
template <class E>
[[gnu::always_inline]] inline auto get(E& endpoint, Bytes scratch, auto&& use) {
    if constexpr (LendingReceiver<E>) {
        struct Release {
            E& endpoint;
            ~Release() { endpoint.release(); }
        };
        const View message = endpoint.take();
        const Release when_used{endpoint};
        return use(message);
    } else {
        return use(View(scratch.first(endpoint.receive(scratch))));
    }
}

/// An endpoint that lends, on one side or on both, made to copy on both. What it costs more than
/// the bare endpoint is the price of the copies and nothing else.
template <class E>
    requires LendingSender<E> || LendingReceiver<E>
struct Staged {
    E& endpoint;

    void send(View out) {
        if constexpr (LendingSender<E>) {
            const Bytes loan = endpoint.loan(out.size());
            copy(loan, out, stores_of(endpoint));
            endpoint.publish(out.size());
        } else {
            endpoint.send(out);
        }
    }
    std::size_t receive(Bytes in) {
        if constexpr (LendingReceiver<E>)
            return get(endpoint, in, [&](View message) {
                if (message.size() > in.size())
                    throw Refused::too_small("receive", message.size(), in.size());
                std::memcpy(in.data(), message.data(), message.size());
                return message.size();
            });
        else
            return endpoint.receive(in);
    }
    void flush() { ipclab::flush(endpoint); }
    [[nodiscard]] std::size_t publish_every(std::size_t message_bytes) const {
        return ipclab::publish_every(endpoint, message_bytes);
    }
    [[nodiscard]] auto counters() const { return counters_of(endpoint); }
    [[nodiscard]] std::size_t message_bytes_max() const { return endpoint.message_bytes_max(); }
    [[nodiscard]] std::size_t capacity_bytes() const { return endpoint.capacity_bytes(); }
};

}  // namespace ipclab

// What it takes to hand memory over: four binary semaphores.
//
// Two processes that share memory must tell each other when it has changed. A binary semaphore
// (Dijkstra 1965) is the smallest thing that does: `post` says that something is so, `wait` waits
// until it has been said and unsays it. A conversation takes four, two for each direction: `vacant`
// says that the room for the message may be written, `filled` that a message is in it.
//
// The files of this folder make such a set out of one thing each: a word that is looked at, a
// futex, a semaphore of POSIX or of System V, a condition variable, an eventfd. Whatever shares
// memory takes any of them.
#pragma once

#include "mechanisms/mechanism.hpp"

#include <concepts>
#include <type_traits>

namespace ipclab {

constexpr int semaphores_of_a_conversation = 4;
/// Their indices, by the side whose messages they are about.
constexpr int vacant(Side sender) { return sender == Side::initiator ? 0 : 2; }
constexpr int filled(Side sender) { return sender == Side::initiator ? 1 : 3; }
/// At the beginning both rooms are vacant.
constexpr bool posted_at_first(int index) {
    return index == vacant(Side::initiator) || index == vacant(Side::responder);
}

/// One process's view of the four. One thread may wait for, or post, one of them while another does
/// so with another one; a posted one is not posted again before it has been waited for.
///
///   State        what of the set lies in the memory that both have mapped
///   Objects      what else the creator made: owns it, removes it; empty for who opened the set
///   create       makes the set, once, in a State that is all zero bytes; throws LimitReached
///   S(…)         opens it, in each process
///   wait         returns when `index` is posted, and takes that away. Now and then, when a wait
///   has
///                lasted, calls `glance()`, which throws at the deadline and when the peer is gone
///   post         never waits; as release to the wait's acquire
///   by_address   false: who has not inherited the Objects cannot open the set
///   post_calls, wait_calls   of one post, and of one wait, by whether somebody sleeps
template <class S>
concept SemaphoreSet = std::is_trivially_destructible_v<typename S::State> &&
    std::is_default_constructible_v<typename S::Objects> &&
    requires(S set, typename S::State& state, const typename S::Objects& objects, int index,
             void (*glance)()) {
    { S::create(state) } -> std::same_as<typename S::Objects>;
    S(state, objects);
    set.wait(index, glance);
    set.post(index);
    { S::name } -> std::convertible_to<std::string_view>;
    { S::kind } -> std::convertible_to<Waiting>;
    { S::post_calls } -> std::convertible_to<SystemCalls>;
    { S::wait_calls } -> std::convertible_to<SystemCalls>;
    { S::after_a_kill } -> std::convertible_to<AfterAKill>;
    { S::by_address } -> std::convertible_to<bool>;
    { S::lesson } -> std::convertible_to<std::string_view>;
};

}  // namespace ipclab

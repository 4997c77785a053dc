// System V semaphores: a set of counts in the kernel, found by a key.
//
// semget(2) makes a set of semaphores, semop(2) adds to one or takes from it, and sleeps where that
// would make it negative; several operations of one call happen together or not at all. The counts
// are the kernel's, so each post and each wait is a system call, whether anybody sleeps or not. The
// set belongs to nobody and stays until it is removed or the machine reboots; who sleeps on it then
// is woken with EIDRM, and a post that nobody has taken yet is lost with it.
//
// The key is a number that both sides know. ftok(3) makes one from a file (sysv-shm does so), of
// whose inode it keeps 16 bits: two files may have the same key. Where memory is shared already,
// the creator draws one at random and leaves it there.
//
// With SEM_UNDO the kernel takes back what a process did to a semaphore when the process ends. That
// repairs a lock whose owner died. Here it would be wrong: who posts a message and ends would take
// the post back, and the message with it.
#pragma once

#include "mechanisms/os/limits.hpp"
#include "mechanisms/os/named_object.hpp"
#include "mechanisms/os/patience.hpp"
#include "mechanisms/waiting/semaphore_set.hpp"

#include <random>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <thread>

namespace ipclab {

class SysvSemaphores {
  public:
    struct State {
        key_t key;
    };
    using Objects = NamedObject;

    static Objects create(State& state) {
        std::random_device random;
        do state.key = static_cast<key_t>(random());
        while (state.key == IPC_PRIVATE || exists(ObjectKind::sysv_sem, sysv_key_name(state.key)));
        NamedObject name(ObjectKind::sysv_sem, sysv_key_name(state.key));
        const int id = ::semget(state.key, semaphores_of_a_conversation,
                                IPC_CREAT | IPC_EXCL | 0600);  // no umask here
        if (id == -1 && errno == ENOSPC) throw limit_reached();
        must(id, "semget");
        unsigned short values[semaphores_of_a_conversation];
        for (int i = 0; i < semaphores_of_a_conversation; ++i)
            values[i] = posted_at_first(i) ? 1 : 0;
        must(::semctl(id, 0, SETALL, Argument{.array = values}), "semctl(SETALL)");
        return name;
    }
    /// The key is the creator's word, and its guard the set's mode: it leads to a set of this user
    /// at worst.
    SysvSemaphores(State& state, const Objects&)
        : id_(must(
              ::semget(*static_cast<volatile key_t*>(&state.key), semaphores_of_a_conversation, 0),
              "semget")) {}

    void wait(int index, auto&& glance) {
        constexpr timespec interval{0, std::chrono::nanoseconds(glance_interval).count()};
        sembuf take{static_cast<unsigned short>(index), -1, 0};
        while (::semtimedop(id_, &take, 1, &interval) == -1) {
            if (is_removed(errno))  // by whom, and whether in good order, the peer's presence tells
                std::this_thread::sleep_for(glance_interval);
            else if (errno != EAGAIN && errno != EINTR)
                throw SystemError("semtimedop", errno);
            glance();
        }
    }
    void post(int index) {
        sembuf add{static_cast<unsigned short>(index), 1, 0};
        while (::semop(id_, &add, 1) == -1) {
            if (is_removed(errno)) return;  // nobody waits any more
            if (errno != EINTR) throw SystemError("semop", errno);
        }
    }

    static constexpr std::string_view name = "sysv-semaphore";
    static constexpr Waiting kind = Waiting::sleeps;
    static constexpr SystemCalls post_calls{1, 1};
    static constexpr SystemCalls wait_calls{1, 1};
    static constexpr AfterAKill after_a_kill = AfterAKill::survivor_is_told;
    static constexpr bool by_address = true;
    static constexpr std::string_view lesson =
        "A semaphore that lives in the kernel costs a system call even where nobody waits, and "
        "stays until it is removed.";

  private:
    union Argument {  // which the caller has to declare (semctl(2))
        int value;
        semid_ds* status;
        unsigned short* array;
        seminfo* info;
    };

    static bool is_removed(int error) { return error == EIDRM || error == EINVAL; }

    /// semget(2) says ENOSPC for two limits: there are too many sets, or too many semaphores.
    static LimitReached limit_reached() {
        seminfo used{};
        const int last = ::semctl(0, 0, SEM_INFO, Argument{.info = &used});
        const Limit sets = limits::sysv_sem_sets();
        const bool all_sets = last != -1 && static_cast<std::uint64_t>(used.semusz) >= sets.value;
        return (all_sets ? sets : limits::sysv_sem_of_the_system()).reached("semget", ENOSPC);
    }

    int id_;
};

static_assert(SemaphoreSet<SysvSemaphores>);

}  // namespace ipclab

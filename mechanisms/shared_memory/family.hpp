// Shared memory: one object, mapped by both. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/shared_memory/boost_shm.hpp"
#include "mechanisms/shared_memory/mailbox_by_mq.hpp"
#include "mechanisms/shared_memory/memfd.hpp"
#include "mechanisms/shared_memory/mmap_file.hpp"
#include "mechanisms/shared_memory/posix_shm.hpp"
#include "mechanisms/shared_memory/sysv_segments.hpp"
#include "mechanisms/shared_memory/sysv_shm.hpp"
#include "mechanisms/waiting/condvar_semaphores.hpp"
#include "mechanisms/waiting/eventfd_semaphores.hpp"
#include "mechanisms/waiting/flag_semaphores.hpp"
#include "mechanisms/waiting/futex_semaphores.hpp"
#include "mechanisms/waiting/posix_semaphores.hpp"
#include "mechanisms/waiting/sysv_semaphores.hpp"

namespace ipclab::shared_memory {

using Family = MechanismList<PosixShm<PosixSemaphores>,            //
                             PosixShm<CondvarSemaphores>,          //
                             PosixShm<SpinThenFutexSemaphores>,    //
                             PosixShm<PureFutexSemaphores>,        //
                             PosixShm<FlagSemaphores<Spin>>,       //
                             PosixShm<FlagSemaphores<SpinYield>>,  //
                             PosixShm<SysvSemaphores>,             //
                             PosixShm<EventfdSemaphores>,          //
                             Memfd<PageSize::normal>,              //
                             Memfd<PageSize::huge>,                //
                             MmapFile,                             //
                             SysvShm,                              //
                             MailboxByMq,                          //
                             SysvSegments,                         //
                             BoostShm>;

}  // namespace ipclab::shared_memory

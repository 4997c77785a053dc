// Message queues: whole messages in the kernel. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/message_queues/boost_mq.hpp"
#include "mechanisms/message_queues/posix_mq.hpp"
#include "mechanisms/message_queues/sysv_mq.hpp"

namespace ipclab::message_queues {

using Family = MechanismList<PosixMq, SysvMq, BoostMq>;

}  // namespace ipclab::message_queues

// Notifications: no payload, only that something has happened. In the order in which to read them.
#pragma once

#include "mechanisms/mechanism_list.hpp"
#include "mechanisms/notifications/eventfd.hpp"
#include "mechanisms/notifications/signal.hpp"

namespace ipclab::notifications {

using Family = MechanismList<EventFd, Signal>;

}  // namespace ipclab::notifications

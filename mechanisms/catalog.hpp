// The table of contents: the families of mechanisms, in the order in which to read them. Each is a
// folder whose family.hpp lists its mechanisms.
//
// To add a mechanism: write its header, and add it to its family's list. Everything else (list,
// scenarios, tests, plots) follows from there. To add a family, add its folder here as well.
#pragma once

/// Calls the macro `visit` with the name of each family, which is that of its folder and of its
/// namespace. (A family at a time is compiled: all of them at once would take a compiler a minute.)
// NOLINTNEXTLINE(cppcoreguidelines-macro-usage)
#define IPCLAB_FOR_EACH_FAMILY(visit)                                                              \
    visit(pipes) visit(message_queues) visit(sockets) visit(notifications) visit(cross_memory)     \
        visit(files) visit(shared_memory) visit(rings)

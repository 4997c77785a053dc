// `ipclab ps` and `ipclab clean`: the objects of ipclab on this machine.
#pragma once

namespace ipclab {

/// Prints a table of all objects that the registries of this machine name, as far as this user may
/// read them, and of those whose name begins with "ipclab-" though no registry names them: kind,
/// name, owner, age, and whether the owner lives. Returns the exit status.
int list_objects();

/// Removes those of dead owners, and says which. Returns the exit status.
int clean_objects();

}  // namespace ipclab

#include "mechanisms/os/error.hpp"

#include "mechanisms/os/limits.hpp"

namespace ipclab {

void throw_system_error(std::string_view call, int error) {
    if (error == EMFILE) throw limits::descriptors_of_a_process().reached(call, error);
    if (error == ENFILE) throw limits::descriptors_of_the_system().reached(call, error);
    throw SystemError(call, error);
}

}  // namespace ipclab

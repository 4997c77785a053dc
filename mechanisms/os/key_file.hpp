// The file for ftok(3), and the object behind its key.
//
// A System V object is found by a number. ftok(3) makes one of a file's inode and device and of a
// project number; two programs that know the path come to the same key. But ftok takes 16 bits of
// the inode and 8 of the device, so two files may have the same key: an object of another program
// may stand behind it.
#pragma once

#include "mechanisms/mechanism.hpp"
#include "mechanisms/os/fd.hpp"
#include "mechanisms/os/file_path.hpp"
#include "mechanisms/os/named_object.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ipc.h>
#include <sys/stat.h>
#include <vector>

namespace ipclab {

/// ftok's project number, the same for all: who opens knows the path and nothing else.
constexpr int project = 'i';

/// The key that `path` stands for. The file must exist.
inline key_t key_of_file(const std::string& path) {
    return must(::ftok(path.c_str(), project), "ftok");
}

/// A System V object of this process: its file, its key, and its identifier. Removes the object,
/// and the file unless it was there before.
struct KeyedObject {
    std::string path;
    int id = -1;
    NamedObject file{};
    NamedObject object{};
};

namespace key_file {

/// Makes an empty file, which must not exist, with mode 0600 under any umask.
inline NamedObject make(const std::string& path) {
    NamedObject name(ObjectKind::file, path);
    const Fd file(must(
        ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600), "open"));
    must(::fchmod(file.get(), 0600), "fchmod");
    return name;
}

}  // namespace key_file

/// Makes an object of `kind` with `get(key)`, which calls shmget(2), semget(2) or msgget(2) with
/// IPC_CREAT | IPC_EXCL. The key is that of the file `wanted`, which is made if it is not there; if
/// `wanted` is empty, of a new file in the runtime folder. Throws Refused where the key of a file
/// that the user chose is taken.
inline KeyedObject create_keyed(ObjectKind kind, const Address& wanted, const std::string& word,
                                auto&& get) {
    std::vector<NamedObject> passed_over;  // kept meanwhile, lest the next file gets their inode
    for (;;) {
        KeyedObject made;
        made.path = file_path(wanted.name, word);
        if (wanted.name.empty() || !exists(ObjectKind::file, made.path))
            made.file = key_file::make(made.path);
        const key_t key = key_of_file(made.path);
        const bool taken = exists(kind, sysv_key_name(key));
        if (!taken) {
            made.object = NamedObject(kind, sysv_key_name(key));
            made.id = get(key);
            return made;
        }
        if (!wanted.name.empty())
            throw Refused("ftok",
                          fmt::format("the key of {} is taken: choose another file", made.path),
                          EEXIST);
        if (passed_over.size() == 16) throw Refused("ftok", "no file has a key of its own", EEXIST);
        passed_over.push_back(std::move(made.file));
    }
}

}  // namespace ipclab

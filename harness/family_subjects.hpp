// How each family makes subjects of its mechanisms.
#pragma once

#include "harness/line.hpp"
#include "harness/subject.hpp"
#include "mechanisms/catalog.hpp"

#include <memory>
#include <vector>

namespace ipclab {

struct SubjectMaker {
    Facts facts;
    std::unique_ptr<Subject> (*make)(const Cell& cell);
    /// As open_line(); null where the mechanism has no address or carries no payload.
    std::unique_ptr<Line> (*open_line)(const Needs& needs, LineEnd end);
};

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage)
#define IPCLAB_DECLARE_SUBJECT_MAKERS(family)                                                      \
    namespace family {                                                                             \
    std::vector<SubjectMaker> subject_makers();                                                    \
    }
IPCLAB_FOR_EACH_FAMILY(IPCLAB_DECLARE_SUBJECT_MAKERS)
#undef IPCLAB_DECLARE_SUBJECT_MAKERS

}  // namespace ipclab

// For tests: the real journal on a disk in memory that fails on command.
#pragma once

#include "journal/journal.h"
#include "journal/memory_disk.h"

namespace gantry::journal {

/// The driver `segments` on a memory disk, with small segments and short waits. `disk`, `clock` and
/// `random` outlive it. Several may follow each other on one disk, like processes.
std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Clock& clock, Random& random);
/// The options it uses, to start from.
Options memory_journal_options();
std::unique_ptr<Journal> make_memory_journal(MemoryDisk& disk, Options options, Clock& clock, Random& random);

}  // namespace gantry::journal

#include "journal/drivers/segments/inventory.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "journal/drivers/segments/compressed.h"

namespace gantry::journal::segments {
namespace {

/// The files of one number.
struct Found {
  std::string raw;         // name, or empty
  std::string compressed;  // name, or empty
  uint64_t raw_size = 0;
  HeaderStatus status = HeaderStatus::unused;
  SegmentHeader header;
  std::shared_ptr<File> file;
  SegmentExtent extent;  // of a compressed one
};
using FoundByNumber = std::map<uint64_t, Found>;

/// `00000000000000000007.log` with the wanted ending, else nullopt.
std::optional<uint64_t> number_of(std::string_view name, std::string_view ending) {
  constexpr size_t digits = 20;
  if (name.size() != digits + ending.size() || !name.ends_with(ending)) return std::nullopt;
  uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + digits, number);
  if (error != std::errc() || end != name.data() + digits || number == 0) return std::nullopt;
  return number;
}

std::string path_of(const std::string& name) { return fmt::format("{}/{}", segment_directory, name); }

Result<FoundByNumber> sort_names(Storage& storage, const Deletions& deletions, Inventory& inventory) {
  GANTRY_TRY(auto entries, storage.list(std::string(segment_directory)));
  FoundByNumber found;
  for (const StoredName& entry : entries) {
    const auto raw = number_of(entry.name, ".log");
    const auto compressed = number_of(entry.name, ".zst");
    const uint64_t number = raw.value_or(compressed.value_or(0));
    inventory.next_number = std::max(inventory.next_number, number + 1);
    if (entry.name.ends_with(".tmp") || (number > 0 && deletions.find(number) != nullptr)) {
      inventory.leftovers.push_back(entry.name);
    } else if (raw) {
      found[number].raw = entry.name;
      found[number].raw_size = entry.size;
    } else if (compressed) {
      found[number].compressed = entry.name;
    }
  }
  // The compressed file got its name when it was complete and durable; the raw one was not removed in time.
  for (auto& [number, one] : found)
    if (!one.compressed.empty() && !one.raw.empty()) inventory.leftovers.push_back(std::exchange(one.raw, {}));
  return found;
}

Result<void> read_header(Storage& storage, uint64_t number, Found& found) {
  if (!found.compressed.empty()) {
    GANTRY_TRY(SegmentIndex index, read_index(storage, number));
    found.header = index.header;
    found.extent = index.extent;
    found.status = HeaderStatus::valid;
    return {};
  }
  GANTRY_TRY(found.file, storage.open(path_of(found.raw), OpenMode::write));
  std::string bytes(header_size, '\0');
  GANTRY_TRY(size_t got, found.file->read(0, bytes));
  bytes.resize(got);
  found.status = decode_header(bytes, found.header);
  if (found.status == HeaderStatus::newer)
    return fail(ErrorId::GR0104, "'{}' was written with a format version above {}, the latest that this build reads",
                found.raw, format_version);
  if (found.status == HeaderStatus::valid && found.header.number != number)
    return std::unexpected(damaged(number, 0, fmt::format("its header says {}", found.header.number)));
  return {};
}

/// `told` is what its successor says of its extent; nullopt for the last one.
Result<SegmentPtr> make_segment(Storage& storage, Found& found, std::optional<SegmentExtent> told) {
  const bool compressed = !found.compressed.empty();
  SegmentExtent extent = told.value_or(SegmentExtent{.end = header_size, .last_seq = found.header.first_seq - 1});
  if (compressed && told && (told->end != found.extent.end || told->last_seq != found.extent.last_seq))
    return std::unexpected(damaged(found.header.number, found.extent.end, "its successor says that it ends elsewhere"));
  if (compressed) extent = found.extent;
  return std::make_shared<Segment>(storage, found.header, extent, compressed ? Form::compressed : Form::raw,
                                   told ? nullptr : std::move(found.file));
}

Error missing(uint64_t number) {
  return Error(ErrorId::GR0103, fmt::format("journal segment {} is missing", number))
      .with_hint("restore the journal directory from a backup");
}

// The newest segment with a header is the end of the log; each names the one before it. Numbers between were
// abandoned. Over a deleted one the list of deletions leads on.
Result<void> follow_chain(Storage& storage, FoundByNumber& found, const Deletions& deletions, Inventory& inventory) {
  auto at = std::ranges::find_if(found.rbegin(), found.rend(),
                                 [](const auto& one) { return one.second.status == HeaderStatus::valid; });
  if (at == found.rend()) return {};
  uint64_t number = at->first;
  std::optional<SegmentExtent> told;  // of the last one, find_end will tell
  for (;;) {
    Found& one = found.at(number);
    if (one.status != HeaderStatus::valid)
      return std::unexpected(damaged(number, 0, "no copy of its header is readable"));
    GANTRY_TRY(SegmentPtr segment, make_segment(storage, one, told));
    inventory.log.push_back(std::move(segment));
    const SegmentHeader& header = one.header;
    if (header.previous == 0) break;
    if (header.previous >= number) return std::unexpected(damaged(number, 0, "its header names no earlier segment"));
    told = {.end = header.previous_end, .last_seq = header.first_seq - 1};
    number = header.previous;
    if (const Deletions::Range* range = deletions.find(number)) {
      if (range->previous == 0) break;
      told = {.end = range->previous_end, .last_seq = range->first_seq - 1};
      number = range->previous;
    }
    if (!found.contains(number)) return std::unexpected(missing(number));
  }
  std::ranges::reverse(inventory.log);
  return {};
}

}  // namespace

Result<Inventory> take_inventory(const Options& options, Storage& storage, const Deletions& deletions) {
  Inventory inventory;
  GANTRY_TRY(FoundByNumber found, sort_names(storage, deletions, inventory));
  for (auto& [number, one] : found) GANTRY_TRY_VOID(read_header(storage, number, one));
  GANTRY_TRY_VOID(follow_chain(storage, found, deletions, inventory));

  const uint64_t last = inventory.log.empty() ? 0 : inventory.log.back()->number();
  for (auto& [number, one] : found) {
    const bool in_log = std::ranges::any_of(inventory.log, [&](const auto& each) { return each->number() == number; });
    if (in_log) continue;
    if (number > last && one.status == HeaderStatus::damaged)
      return std::unexpected(damaged(number, 0, "no copy of its header is readable"));
    if (number > last && one.file && one.raw_size == Provisioner::size_of(number, options))
      inventory.prepared.push_back({number, one.raw_size, std::move(one.file)});
    else
      inventory.leftovers.push_back(one.raw.empty() ? one.compressed : one.raw);
  }
  return inventory;
}

}  // namespace gantry::journal::segments

#include "journal/drivers/segments/deletions.h"

#include <charconv>

#include "crypto/crypto.h"
#include "journal/drivers/segments/format.h"

namespace gantry::journal::segments {
namespace {

// Text, because people look at it: a first line with the version, `first last previous previous_end first_seq`
// lines, a line with the checksum.
constexpr std::string_view title = "gantry-journal-deleted ";
constexpr std::string_view checksum = "crc32c ";

Error bad(std::string_view what) {
  return Error(ErrorId::GR0103, fmt::format("the list of deleted journal segments is damaged: {}", what));
}

bool take_number(std::string_view& text, uint64_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool take_char(std::string_view& text, char wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(1);
  return true;
}

bool take_range(std::string_view& text, Deletions::Range& out) {
  return take_number(text, out.first) && take_char(text, ' ') && take_number(text, out.last) && take_char(text, ' ') &&
         take_number(text, out.previous) && take_char(text, ' ') && take_number(text, out.previous_end) &&
         take_char(text, ' ') && take_number(text, out.first_seq) && take_char(text, '\n');
}

}  // namespace

Result<Deletions> Deletions::parse(std::string_view text) {
  std::string_view rest = text;
  uint64_t version = 0;
  if (!rest.starts_with(title)) return std::unexpected(bad("its first line"));
  rest.remove_prefix(title.size());
  if (!take_number(rest, version) || !take_char(rest, '\n')) return std::unexpected(bad("its first line"));
  if (version > format_version) return fail(ErrorId::GR0104, "format version {} of '{}'", version, file_name);
  Deletions deletions;
  while (!rest.starts_with(checksum)) {
    Range range;
    if (!take_range(rest, range) || range.first == 0 || range.first > range.last || range.previous >= range.first)
      return std::unexpected(bad("a line is no range"));
    deletions.ranges_[range.first] = range;
  }
  const std::string_view covered = text.substr(0, text.size() - rest.size());
  if (rest != fmt::format("{}{:08x}\n", checksum, crypto::crc32c(covered)))
    return std::unexpected(bad("it does not have its checksum"));
  return deletions;
}

std::string Deletions::text() const {
  std::string out = fmt::format("{}{}\n", title, format_version);
  for (const auto& [first, range] : ranges_)
    out += fmt::format("{} {} {} {} {}\n", first, range.last, range.previous, range.previous_end, range.first_seq);
  return out + fmt::format("{}{:08x}\n", checksum, crypto::crc32c(out));
}

Result<Deletions> Deletions::load(Storage& storage) {
  auto content = read_whole(storage, std::string(file_name), mebibytes(16));
  if (!content && content.error().code() == Code::not_found) return Deletions();
  if (!content) return std::unexpected(std::move(content).error());
  return parse(*content);
}

Result<void> Deletions::store(Storage& storage) const { return replace(storage, "", std::string(file_name), text()); }

void Deletions::add(const SegmentHeader& header) {
  Range range{.first = header.previous + 1,
              .last = header.number,
              .previous = header.previous,
              .previous_end = header.previous_end,
              .first_seq = header.first_seq};
  if (auto behind = ranges_.find(range.last + 1); behind != ranges_.end()) {
    range.last = behind->second.last;
    ranges_.erase(behind);
  }
  if (const Range* before = find(header.previous)) {
    const uint64_t last = range.last;
    range = *before;
    range.last = last;
  }
  ranges_[range.first] = range;
}

const Deletions::Range* Deletions::find(uint64_t number) const {
  auto behind = ranges_.upper_bound(number);
  if (behind == ranges_.begin()) return nullptr;
  const Range& range = std::prev(behind)->second;
  return range.last >= number ? &range : nullptr;
}

}  // namespace gantry::journal::segments

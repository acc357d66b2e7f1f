#include "journal/drivers/segments/format.h"

#include <algorithm>

#include "crypto/crypto.h"

namespace gantry::journal::segments {
namespace {

constexpr std::string_view magic = "GNTRYJNL";
constexpr uint64_t max_frame_size = uint64_t{1} << 30;

bool all_zero(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char byte) { return byte == 0; });
}

// One header copy: 0 magic, 8 version u32, 12 crc32c u32 of all behind it, 16 number, 24 first seq,
// 32 previous, 40 previous end, 48 salt, 56 group limit, 64 created, zeros.
void encode_copy(const SegmentHeader& header, char* at) {
  std::memcpy(at, magic.data(), magic.size());
  put<uint32_t>(at + 8, header.version);
  put<uint64_t>(at + 16, header.number);
  put<uint64_t>(at + 24, header.first_seq);
  put<uint64_t>(at + 32, header.previous);
  put<uint64_t>(at + 40, header.previous_end);
  put<uint64_t>(at + 48, header.salt);
  put<uint64_t>(at + 56, header.group_limit);
  put<int64_t>(at + 64, header.created.time_since_epoch().count());
  put<uint32_t>(at + 12, crypto::crc32c(std::string_view(at + 16, header_copy_size - 16)));
}

HeaderStatus decode_copy(std::string_view copy, SegmentHeader& out) {
  if (all_zero(copy)) return HeaderStatus::unused;
  if (!copy.starts_with(magic)) return HeaderStatus::damaged;
  // Before the checksum: a newer format may have another one.
  if (get<uint32_t>(copy.data() + 8) > format_version) return HeaderStatus::newer;
  if (get<uint32_t>(copy.data() + 8) < plain_version) return HeaderStatus::damaged;
  if (get<uint32_t>(copy.data() + 12) != crypto::crc32c(copy.substr(16))) return HeaderStatus::damaged;
  const char* at = copy.data();
  out.version = get<uint32_t>(at + 8);
  out.number = get<uint64_t>(at + 16);
  out.first_seq = get<uint64_t>(at + 24);
  out.previous = get<uint64_t>(at + 32);
  out.previous_end = get<uint64_t>(at + 40);
  out.salt = get<uint64_t>(at + 48);
  out.group_limit = get<uint64_t>(at + 56);
  out.created = Time(Duration(get<int64_t>(at + 64)));
  return HeaderStatus::valid;
}

}  // namespace

std::string encode_header(const SegmentHeader& header) {
  std::string bytes(header_size, '\0');
  encode_copy(header, bytes.data());
  encode_copy(header, bytes.data() + header_copy_size);
  return bytes;
}

HeaderStatus decode_header(std::string_view bytes, SegmentHeader& out) {
  if (bytes.size() < header_size) return HeaderStatus::unused;
  const HeaderStatus first = decode_copy(bytes.substr(0, header_copy_size), out);
  if (first == HeaderStatus::valid) return first;
  const HeaderStatus second = decode_copy(bytes.substr(header_copy_size, header_copy_size), out);
  if (second == HeaderStatus::valid) return second;
  if (first == HeaderStatus::newer || second == HeaderStatus::newer) return HeaderStatus::newer;
  // A torn first write leaves one copy untouched: such a segment never held anything. Two copies that
  // are both wrong were both right once.
  if (first == HeaderStatus::unused || second == HeaderStatus::unused) return HeaderStatus::unused;
  return HeaderStatus::damaged;
}

uint32_t salt_crc(uint64_t salt) {
  char bytes[8];
  put<uint64_t>(bytes, salt);
  return crypto::crc32c(std::string_view(bytes, sizeof bytes));
}

uint64_t frame_size(const Entry& entry) {
  const Scope& scope = entry.scope;
  return frame_header_size + scope.tenant.size() + scope.domain.size() + scope.environment.size() + 2 +
         entry.head.size() + entry.body.size();
}

void encode_frame(const Entry& entry, const Stamp& stamp, std::string& out) {
  const size_t start = out.size();
  const Scope& scope = entry.scope;
  const size_t scope_size = scope.tenant.size() + scope.domain.size() + scope.environment.size() + 2;
  char fixed[frame_header_size];
  put<uint32_t>(fixed + 4, static_cast<uint32_t>(frame_size(entry)));
  put<uint64_t>(fixed + 8, stamp.seq);
  put<int64_t>(fixed + 16, stamp.time.time_since_epoch().count());
  std::memcpy(fixed + 24, entry.entity.data(), entry.entity.size());
  put<uint16_t>(fixed + 40, static_cast<uint16_t>(entry.kind));
  put<uint8_t>(fixed + 42, stamp.flags);
  put<uint8_t>(fixed + 43, static_cast<uint8_t>(scope_size));
  out.append(fixed, sizeof fixed);
  // Piece by piece: Scope::path() would allocate for every record.
  out.append(scope.tenant).push_back('/');
  out.append(scope.domain).push_back('/');
  out.append(scope.environment).append(entry.head).append(entry.body);
  const std::string_view covered = std::string_view(out).substr(start + 4);
  put<uint32_t>(out.data() + start, crypto::crc32c(covered, stamp.salt_crc));
  out.append(padded(out.size() - start) - (out.size() - start), '\0');
}

FrameStatus decode_frame(std::string_view bytes, uint32_t salt, Frame& out) {
  if (bytes.size() < frame_header_size) return all_zero(bytes) ? FrameStatus::zeros : FrameStatus::truncated;
  const char* at = bytes.data();
  const auto size = get<uint32_t>(at + 4);
  if (size == 0) return all_zero(bytes.substr(0, frame_header_size)) ? FrameStatus::zeros : FrameStatus::damaged;
  const size_t scope_size = get<uint8_t>(at + 43);
  if (size < frame_header_size + scope_size || size > max_frame_size) return FrameStatus::damaged;
  if (size > bytes.size()) return FrameStatus::truncated;
  if (crypto::crc32c(bytes.substr(4, size - 4), salt) != get<uint32_t>(at)) return FrameStatus::damaged;
  read_frame(bytes, out);
  return FrameStatus::valid;
}

void read_frame(std::string_view bytes, Frame& out) {
  const char* at = bytes.data();
  const size_t scope_size = get<uint8_t>(at + 43);
  out.size = get<uint32_t>(at + 4);
  out.seq = get<uint64_t>(at + 8);
  out.time = Time(Duration(get<int64_t>(at + 16)));
  std::memcpy(out.entity.data(), at + 24, out.entity.size());
  out.kind = Kind{get<uint16_t>(at + 40)};
  out.flags = get<uint8_t>(at + 42);
  out.scope = bytes.substr(frame_header_size, scope_size);
  out.payload = bytes.substr(frame_header_size + scope_size, out.size - frame_header_size - scope_size);
}

std::string seal_context(Kind kind, const IdBytes& entity) {
  char bytes[8];
  std::memcpy(bytes, "record", 6);  // NOLINT(bugprone-not-null-terminated-result): bytes, no text
  put<uint16_t>(bytes + 6, static_cast<uint16_t>(kind));
  std::string context(bytes, sizeof bytes);
  return context.append(entity.begin(), entity.end());
}

Result<std::string> open_payload(const Frame& frame, const Scope& scope, PayloadCipher* cipher, Location location) {
  if (cipher == nullptr) return fail(ErrorId::GR1002, "journal segment {} holds encrypted records", location.segment);
  auto opened = cipher->open(scope, seal_context(frame.kind, frame.entity), frame.payload);
  if (!opened) return std::unexpected(damaged(location.segment, location.offset, opened.error().reason()));
  return opened;
}

Result<Record> RecordMaker::make(const Frame& frame, uint64_t segment, uint64_t offset) {
  if (frame.scope != scope_path_) {
    auto scope = Scope::parse(frame.scope);
    if (!scope) return std::unexpected(damaged(segment, offset, scope.error().reason()));
    scope_ = *std::move(scope);
    scope_path_ = frame.scope;
  }
  const Location location{segment, static_cast<uint32_t>(offset), frame.size};
  std::string_view payload = frame.payload;
  if (frame.flags & flag_sealed) {
    GANTRY_TRY(std::string opened, open_payload(frame, scope_, cipher_, location));
    payload = opened_.emplace_back(std::move(opened));
  }
  return Record{.seq = frame.seq,
                .time = frame.time,
                .kind = frame.kind,
                .scope = scope_,
                .entity = frame.entity,
                .payload = payload,
                .location = location};
}

Error damaged(uint64_t segment, uint64_t offset, std::string_view what) {
  return Error(ErrorId::GR0103, fmt::format("journal segment {} is damaged at offset {}: {}", segment, offset, what))
      .with_hint("restore the journal directory from a backup, or ask `gantry doctor --storage` what is affected");
}

}  // namespace gantry::journal::segments

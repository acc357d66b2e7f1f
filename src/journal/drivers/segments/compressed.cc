#include "journal/drivers/segments/compressed.h"

#include <zstd.h>

#include <algorithm>

#include "crypto/crypto.h"

namespace gantry::journal::segments {
namespace {

constexpr uint64_t unit_size = 256 << 10;
constexpr int level = 3;
constexpr std::string_view magic = "GNTRYIDX";
constexpr uint32_t skippable_magic = 0x184D2A50;  // RFC 8878 3.1.2
constexpr size_t skippable_header_size = 8;
constexpr size_t entry_size = 32;
// The fixed end of the index: end u64, last seq u64, entries u64, header copies, version u32, crc32c u32 of the
// whole index before it, magic.
constexpr size_t trailer_size = 24 + header_size + 16;

/// Frees a zstd context.
struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

/// Writes one compressed file, unit by unit.
class Compressor {
 public:
  Compressor(const Segment& segment, File& file) : segment_(segment), file_(file), context_(ZSTD_createCCtx()) {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
  }

  Result<void> run(const std::atomic<bool>& stop) {
    GANTRY_TRY_VOID(emit(0, encode_header(segment_.header()), segment_.first_seq()));
    for (uint64_t offset = header_size; offset < segment_.end();) {
      if (stop.load(std::memory_order_relaxed)) return fail(Code::cancelled, "stopping");
      GANTRY_TRY(std::string raw, segment_.read(offset, unit_size));
      GANTRY_TRY(Cut cut, cut_after_whole_records(raw, offset));
      if (cut.size == 0) {
        GANTRY_TRY(raw, segment_.read(offset, cut.needed));
        GANTRY_TRY(cut, cut_after_whole_records(raw, offset));
      }
      if (cut.size == 0) return std::unexpected(damaged(segment_.number(), offset, "a record reaches over the end"));
      raw.resize(cut.size);
      GANTRY_TRY_VOID(emit(offset, raw, cut.first_seq));
      offset += cut.size;
    }
    SegmentIndex index{segment_.header(), {segment_.end(), segment_.last_seq()}, std::move(entries_)};
    return file_.write(written_, encode_index(index));
  }

 private:
  struct Cut {
    uint64_t size = 0;    // of the whole records
    uint64_t needed = 0;  // if that is 0: how much the first record needs
    uint64_t first_seq = 0;
  };

  Result<Cut> cut_after_whole_records(std::string_view raw, uint64_t offset) const {
    Cut cut;
    Frame frame;
    while (cut.size < raw.size()) {
      std::string_view rest = raw.substr(cut.size);
      const FrameStatus status = decode_frame(rest, segment_.salt_crc(), frame);
      if (status == FrameStatus::truncated) {
        if (cut.size == 0 && rest.size() >= frame_header_size) cut.needed = padded(get<uint32_t>(rest.data() + 4));
        return cut;
      }
      if (status != FrameStatus::valid)
        return std::unexpected(damaged(segment_.number(), offset + cut.size, "a record does not have its checksum"));
      if (cut.size == 0) cut.first_seq = frame.seq;
      // The padding of the last record may be behind the chunk's end.
      if (padded(frame.size) > rest.size()) return cut;
      cut.size += padded(frame.size);
    }
    return cut;
  }

  Result<void> emit(uint64_t raw_offset, std::string_view raw, uint64_t first_seq) {
    packed_.resize(ZSTD_compressBound(raw.size()));
    const size_t size = ZSTD_compress2(context_.get(), packed_.data(), packed_.size(), raw.data(), raw.size());
    if (ZSTD_isError(size)) return fail(Code::internal, "zstd: {}", ZSTD_getErrorName(size));
    GANTRY_TRY_VOID(file_.write(written_, std::string_view(packed_).substr(0, size)));
    entries_.push_back({.raw_offset = raw_offset,
                        .file_offset = written_,
                        .raw_size = static_cast<uint32_t>(raw.size()),
                        .file_size = static_cast<uint32_t>(size),
                        .first_seq = first_seq});
    written_ += size;
    return {};
  }

  const Segment& segment_;
  File& file_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  std::string packed_;
  std::vector<IndexEntry> entries_;
  uint64_t written_ = 0;
};

Error bad_index(std::string_view what) {
  return Error(ErrorId::GR0103, fmt::format("the index of a compressed segment is damaged: {}", what));
}

Result<void> check_entries(const SegmentIndex& index, uint64_t frames_size) {
  uint64_t raw = 0;
  uint64_t file = 0;
  for (const IndexEntry& entry : index.entries) {
    if (entry.raw_offset != raw || entry.file_offset != file || entry.raw_size == 0)
      return std::unexpected(bad_index("its frames are not adjacent"));
    raw += entry.raw_size;
    file += entry.file_size;
  }
  if (raw != index.extent.end || file != frames_size) return std::unexpected(bad_index("its frames do not add up"));
  return {};
}

/// An open compressed file and its index.
struct OpenCompressed {
  std::unique_ptr<File> file;
  SegmentIndex index;
};

Result<OpenCompressed> open_file(Storage& storage, uint64_t number) {
  GANTRY_TRY(auto file, storage.open(compressed_name(number), OpenMode::read));
  GANTRY_TRY(uint64_t size, file->size());
  // Enough for the index of a segment of 256 MiB; a longer one takes a second read.
  for (uint64_t tail_size = 64 << 10;; tail_size *= 8) {
    std::string tail(std::min(size, tail_size), '\0');
    GANTRY_TRY(size_t got, file->read(size - tail.size(), tail));
    const bool whole = tail.size() == size;
    tail.resize(got);
    auto index = decode_index(tail, size);
    if (!index && !whole && index.error().id() == ErrorId::GR0103) continue;
    if (!index) return std::unexpected(std::move(index).error());
    if (index->header.number != number) return std::unexpected(bad_index("it is of another segment"));
    return OpenCompressed{std::move(file), *std::move(index)};
  }
}

Result<OpenCompressed> open_named(Storage& storage, uint64_t number) {
  auto opened = open_file(storage, number);
  if (!opened) return std::unexpected(std::move(opened).error().wrap("open '" + compressed_name(number) + "'"));
  return opened;
}

Result<void> inflate(const OpenCompressed& from, const IndexEntry& entry, std::string& out) {
  std::string packed(entry.file_size, '\0');
  GANTRY_TRY(size_t got, from.file->read(entry.file_offset, packed));
  const size_t before = out.size();
  out.resize(before + entry.raw_size);
  const size_t size = ZSTD_decompress(out.data() + before, entry.raw_size, packed.data(), got);
  if (ZSTD_isError(size) || size != entry.raw_size)
    return std::unexpected(damaged(from.index.header.number, entry.raw_offset, "a compressed frame cannot be read"));
  return {};
}

}  // namespace

std::string encode_index(const SegmentIndex& index) {
  const size_t content = index.entries.size() * entry_size + trailer_size;
  std::string bytes(skippable_header_size + content, '\0');
  put<uint32_t>(bytes.data(), skippable_magic);
  put<uint32_t>(bytes.data() + 4, static_cast<uint32_t>(content));
  char* at = bytes.data() + skippable_header_size;
  for (const IndexEntry& entry : index.entries) {
    put<uint64_t>(at, entry.raw_offset);
    put<uint64_t>(at + 8, entry.file_offset);
    put<uint32_t>(at + 16, entry.raw_size);
    put<uint32_t>(at + 20, entry.file_size);
    put<uint64_t>(at + 24, entry.first_seq);
    at += entry_size;
  }
  put<uint64_t>(at, index.extent.end);
  put<uint64_t>(at + 8, index.extent.last_seq);
  put<uint64_t>(at + 16, index.entries.size());
  at += 24;
  std::memcpy(at, encode_header(index.header).data(), header_size);
  at += header_size;
  put<uint32_t>(at, index.header.version);
  put<uint32_t>(at + 4, crypto::crc32c(std::string_view(bytes.data(), static_cast<size_t>(at + 4 - bytes.data()))));
  std::memcpy(at + 8, magic.data(), magic.size());
  return bytes;
}

Result<SegmentIndex> decode_index(std::string_view tail, uint64_t file_size) {
  if (tail.size() < skippable_header_size + trailer_size || !tail.ends_with(magic))
    return std::unexpected(bad_index("it does not end as one"));
  const char* end = tail.data() + tail.size();
  if (get<uint32_t>(end - 16) > format_version)
    return fail(ErrorId::GR0104, "format version {} of a compressed segment", get<uint32_t>(end - 16));
  const char* trailer = end - trailer_size;
  const auto count = get<uint64_t>(trailer + 16);
  if (count > (tail.size() - skippable_header_size - trailer_size) / entry_size)
    return std::unexpected(bad_index("it is longer than the file"));
  const size_t size = skippable_header_size + count * entry_size + trailer_size;
  const char* start = end - size;
  if (crypto::crc32c(std::string_view(start, size - 12)) != get<uint32_t>(end - 12))
    return std::unexpected(bad_index("it does not have its checksum"));

  SegmentIndex index;
  index.extent = {.end = get<uint64_t>(trailer), .last_seq = get<uint64_t>(trailer + 8)};
  if (decode_header(std::string_view(trailer + 24, header_size), index.header) != HeaderStatus::valid)
    return std::unexpected(bad_index("it holds no header"));
  index.entries.reserve(count);
  for (const char* at = start + skippable_header_size; at < trailer; at += entry_size)
    index.entries.push_back({.raw_offset = get<uint64_t>(at),
                             .file_offset = get<uint64_t>(at + 8),
                             .raw_size = get<uint32_t>(at + 16),
                             .file_size = get<uint32_t>(at + 20),
                             .first_seq = get<uint64_t>(at + 24)});
  GANTRY_TRY_VOID(check_entries(index, file_size - size));
  return index;
}

Result<SegmentIndex> read_index(Storage& storage, uint64_t number) {
  GANTRY_TRY(OpenCompressed opened, open_named(storage, number));
  return std::move(opened.index);
}

Result<std::string> read_compressed(Storage& storage, uint64_t number, uint64_t offset, uint64_t want) {
  GANTRY_TRY(OpenCompressed opened, open_named(storage, number));
  if (offset >= opened.index.extent.end) return std::string();
  const auto& entries = opened.index.entries;
  auto entry = std::prev(std::ranges::upper_bound(entries, offset, {}, &IndexEntry::raw_offset));  // the first is at 0
  const uint64_t skip = offset - entry->raw_offset;
  std::string bytes;
  GANTRY_TRY_VOID(inflate(opened, *entry, bytes));
  while (bytes.size() - skip < want && ++entry != entries.end()) GANTRY_TRY_VOID(inflate(opened, *entry, bytes));
  return bytes.erase(0, skip);
}

Result<uint64_t> find_in_compressed(Storage& storage, uint64_t number, uint64_t seq) {
  GANTRY_TRY(OpenCompressed opened, open_named(storage, number));
  const auto& entries = opened.index.entries;
  auto behind = std::ranges::upper_bound(entries, seq, {}, &IndexEntry::first_seq);
  if (behind == entries.begin()) return header_size;
  // The first zstd frame is the header of the segment.
  return std::max<uint64_t>(std::prev(behind)->raw_offset, header_size);
}

Result<void> compress(Storage& storage, const Segment& segment, const std::atomic<bool>& stop) {
  const std::string name = compressed_name(segment.number());
  const std::string temporary = name + ".tmp";
  auto write = [&]() -> Result<void> {
    GANTRY_TRY(auto file, storage.open(temporary, OpenMode::create));
    GANTRY_TRY_VOID(Compressor(segment, *file).run(stop));
    GANTRY_TRY_VOID(file->sync());
    GANTRY_TRY_VOID(storage.rename(temporary, name));
    return storage.sync_directory(std::string(segment_directory));
  };
  auto written = write();
  if (!written) {
    std::ignore = storage.remove(temporary);
    return std::unexpected(std::move(written).error().wrap("compress '" + name + "'"));
  }
  return {};
}

}  // namespace gantry::journal::segments

#include "proxy/spool.h"

#include <algorithm>

namespace gantry::proxy {
namespace {

// A trip to the blocking pool costs about 10 µs: a piece this long makes that nothing.
constexpr size_t piece_size = size_t{256} << 10;

}  // namespace

Task<Result<void>> Spool::append(std::string_view piece) {
  uint64_t room = size_ < limits_.keep.count ? limits_.keep.count - size_ : 0;
  size_ += piece.size();
  if (content_) content_->update(crypto::bytes_of(piece));
  buffer_.append(piece.substr(0, static_cast<size_t>(std::min<uint64_t>(room, piece.size()))));
  size_t limit = writer_ ? piece_size : limits_.inline_limit.count;
  if (buffer_.size() > limit) co_return co_await flush();
  co_return Result<void>{};
}

Task<Result<void>> Spool::flush() {
  if (!writer_) {
    GANTRY_CO_TRY(auto created, co_await blocking_.run([this] { return requests_.blobs().create(scope_); }));
    if (!created) co_return std::unexpected(std::move(created).error());
    writer_ = std::move(*created);
  }
  GANTRY_CO_TRY(Result<void> written, co_await blocking_.run([this] { return writer_->write(buffer_); }));
  buffer_.clear();
  co_return written;
}

Task<Result<requests::Body>> Spool::finish() {
  requests::Body body{.inline_bytes = {}, .blob = {}, .size = size_, .complete = size_ <= limits_.keep.count};
  if (!writer_) {
    body.inline_bytes = buffer_;
    co_return body;
  }
  if (!buffer_.empty()) GANTRY_CO_TRY_VOID(co_await flush());
  GANTRY_CO_TRY(auto stored, co_await blocking_.run([this] { return writer_->finish(); }));
  if (!stored) co_return std::unexpected(std::move(stored).error());
  body.blob = stored->id;
  co_return body;
}

Task<Result<std::string_view>> BodySource::next() {
  if (!reader_) {
    GANTRY_CO_TRY(auto opened, co_await blocking_.run([this] { return requests_.blobs().open(*body_.blob); }));
    if (!opened) co_return std::unexpected(std::move(opened).error());
    reader_ = std::move(*opened);
    buffer_.resize(piece_size);
  }
  GANTRY_CO_TRY(auto count, co_await blocking_.run([this] { return reader_->read(buffer_); }));
  if (!count) co_return std::unexpected(std::move(count).error());
  co_return std::string_view(buffer_).substr(0, *count);
}

}  // namespace gantry::proxy

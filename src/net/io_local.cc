#include "net/io_local.h"

#include <algorithm>
#include <array>

namespace gantry::net {
namespace {

constexpr size_t max_spare_small = 256;  // 1 MiB for each thread
constexpr size_t max_spare_large = 16;   // 1 MiB for each thread

}  // namespace

Timed::Timed(IoLocal& local) : local_(local) { local_.link(*this); }
Timed::~Timed() { local_.unlink(*this); }

void Timed::set_wake(SteadyTime at) {
  wake_ = at;
  if (at < local_.next_sweep_) local_.wake_by(at);
}

IoLocal::IoLocal(asio::execution_context& context)
    : service(context),
      // SAFETY: services of this kind are only made by `of`, which passes an io_context.
      timer_(std::make_unique<Timer>(static_cast<asio::io_context&>(context))) {}

IoLocal& IoLocal::of(const Executor& executor) { return asio::use_service<IoLocal>(executor.context()); }

void IoLocal::shutdown() { timer_.reset(); }

void IoLocal::link(Timed& timed) {
  timed.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &timed;
  first_ = &timed;
}

void IoLocal::unlink(Timed& timed) {
  if (cursor_ == &timed) cursor_ = timed.next_;
  if (timed.previous_ != nullptr) timed.previous_->next_ = timed.next_;
  if (timed.next_ != nullptr) timed.next_->previous_ = timed.previous_;
  if (first_ == &timed) first_ = timed.next_;
  // Nobody waits any more: a pending timer would keep an io_context running that has nothing else to do.
  if (first_ == nullptr && timer_ != nullptr && !sweeping_) {
    next_sweep_ = SteadyTime::max();
    timer_->cancel();
  }
}

void IoLocal::wake_by(SteadyTime at) {
  if (sweeping_) {
    next_sweep_ = at;
    return;
  }
  // Not sooner than one interval from now: many short deadlines must not make the sweep hot.
  SteadyTime soonest = now() + sweep_interval;
  at = std::max(at, soonest);
  if (at < next_sweep_) arm(at);
}

void IoLocal::arm(SteadyTime at) {
  next_sweep_ = at;
  if (timer_ == nullptr) return;
  timer_->expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(at));
  timer_->async_wait([this](const boost::system::error_code& error) {
    if (!error) sweep();
  });
}

void IoLocal::sweep() {
  SteadyTime time = now();
  sweeping_ = true;
  next_sweep_ = SteadyTime::max();
  for (cursor_ = first_; cursor_ != nullptr;) {
    Timed& timed = *cursor_;
    cursor_ = timed.next_;
    if (timed.wake_ <= time) {
      timed.wake_ = SteadyTime::max();
      timed.on_deadline(time);  // `timed` may be gone now
    } else {
      next_sweep_ = std::min(next_sweep_, timed.wake_);
    }
  }
  sweeping_ = false;
  if (first_ == nullptr) next_sweep_ = SteadyTime::max();
  if (next_sweep_ != SteadyTime::max()) arm(std::max(next_sweep_, now() + sweep_interval));
}

Buffer IoLocal::take_buffer(size_t capacity) {
  bool is_small = capacity <= small_buffer_bytes;
  std::vector<Buffer>& spare = is_small ? small_ : large_;
  if (capacity <= large_buffer_bytes) {
    if (!spare.empty()) {
      Buffer buffer = std::move(spare.back());
      spare.pop_back();
      return buffer;
    }
    capacity = is_small ? small_buffer_bytes : large_buffer_bytes;
  }
  return Buffer{std::make_unique_for_overwrite<char[]>(capacity), capacity, 0};
}

void IoLocal::give_buffer(Buffer buffer) {
  buffer.size = 0;
  if (buffer.capacity == small_buffer_bytes && small_.size() < max_spare_small)
    small_.push_back(std::move(buffer));
  else if (buffer.capacity == large_buffer_bytes && large_.size() < max_spare_large)
    large_.push_back(std::move(buffer));
}

std::string_view IoLocal::date(Clock& clock) {
  auto second = std::chrono::floor<std::chrono::seconds>(clock.now());
  if (int64_t count = second.time_since_epoch().count(); count != date_second_) {
    date_second_ = count;
    auto day = std::chrono::floor<std::chrono::days>(second);
    std::chrono::year_month_day date(day);
    std::chrono::hh_mm_ss time(second - day);
    constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    date_ = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[std::chrono::weekday(day).c_encoding()],
                        static_cast<unsigned>(date.day()), months[static_cast<unsigned>(date.month()) - 1],
                        static_cast<int>(date.year()), time.hours().count(), time.minutes().count(),
                        time.seconds().count());
  }
  return date_;
}

}  // namespace gantry::net

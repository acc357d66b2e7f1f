#include <atomic>

#include "crypto/crypto.h"
#include "telemetry/telemetry.h"

namespace gantry::telemetry {

void Secret::wipe() {
  // SAFETY: volatile, so that the compiler keeps stores to memory that nobody reads again. The whole
  // capacity, since a shorter text may lie over a longer one.
  text_.resize(text_.capacity());
  for (volatile char& c : text_) c = 0;
  text_.clear();
}

Secret::~Secret() { wipe(); }

Secret& Secret::operator=(const Secret& other) {
  if (this == &other) return *this;
  wipe();
  text_ = other.text_;
  return *this;
}

// A short text lies inside the string object itself, so moving copies it and leaves it behind.
Secret::Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  text_ = std::move(other.text_);
  other.wipe();
  return *this;
}

bool operator==(const Secret& a, const Secret& b) { return crypto::secure_equal(a.text_, b.text_); }

void tag_invoke(const boost::json::value_from_tag&, json::Value& value, const Secret&) { value = redacted; }

}  // namespace gantry::telemetry

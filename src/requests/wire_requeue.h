// The records that undo or forget an end: `request.requeued` and `requests.purged`. Private to requests/.
//
// A requeued request is accepted once more under its id: the payload is what it keeps of its life before, and behind
// that a whole `request.accepted`. The first byte tells the two apart, so a Location may lead to either.
#pragma once

#include <span>

#include "requests/views.h"

namespace gantry::requests {

/// What a request keeps when it is requeued.
struct Carried {
  Requeued requeued;  ///< its `at` is the time of the record
  Time created_at;
  std::vector<Attempt> log;
};

/// Everything in front of the `request.accepted`.
void encode(const Carried& carried, std::string& out);
/// `data_loss` if the payload is not that of a requeued request.
Result<Carried> decode_carried(std::string_view payload);
/// The `request.accepted` in a payload of either kind; empty if it is damaged.
std::string_view accepted_part(std::string_view payload);

/// Of one record; `requests.purged` names no more.
inline constexpr size_t purged_at_once = 1000;
std::string encode_purged(std::span<const RequestId> ids);
Result<std::vector<RequestId>> decode_purged(std::string_view payload);

// Also parts of a checkpoint.
void put_location(Encoder& out, const journal::Location& location);
journal::Location get_location(Decoder& in);
void put_requeued(Encoder& out, const Requeued& requeued);
Requeued get_requeued(Decoder& in);

}  // namespace gantry::requests

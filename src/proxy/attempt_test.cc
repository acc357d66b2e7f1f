#include "proxy/attempt.h"

#include <gtest/gtest.h>

#include "proxy/state.h"

namespace gantry::proxy {
namespace {

using List = std::vector<net::Header>;

TEST(Passable, KeepsOrderSpellingAndRepeats) {
  List fields{{"X-b", "1"}, {"x-B", "2"}, {"Accept", ""}, {"X-b", "1"}};
  EXPECT_EQ(passable(fields, net::Direction::request), fields);
}

TEST(Passable, LeavesOutWhatIsAboutTheConnection) {
  List fields{{"Connection", "keep-alive, X-Private"}, {"Keep-Alive", "5"},     {"X-Private", "1"}, {"TE", "trailers"},
              {"Transfer-Encoding", "chunked"},        {"Content-Length", "5"}, {"Upgrade", "h2c"}, {"X-Kept", "1"}};
  EXPECT_EQ(passable(fields, net::Direction::response), (List{{"X-Kept", "1"}}));
}

TEST(Passable, NoCallerForgesAGantryField) {
  List fields{{"Gantry-Attempt", "7"}, {"gantry-request-id", "x"}, {"Expect", "100-continue"}, {"X", "1"}};
  EXPECT_EQ(passable(fields, net::Direction::request), (List{{"X", "1"}}));
}

TEST(Passable, OurKeyStaysOutsideAndTheCallersOwnGoesThrough) {
  List fields{{"Authorization", "Bearer x"}, {"X", "1"}};
  EXPECT_EQ(passable(fields, net::Direction::request, Call::Authorization::of_gantry), (List{{"X", "1"}}));
  EXPECT_EQ(passable(fields, net::Direction::request, Call::Authorization::of_agent), fields);
}

TEST(Traceparent, HasTheFormOfTheStandard) {
  SeededRandom random(3);
  std::string text = make_traceparent(random);
  ASSERT_EQ(text.size(), 55u);
  EXPECT_EQ(text.substr(0, 3), "00-");
  EXPECT_EQ(text[35], '-');
  EXPECT_EQ(text.substr(52), "-02");
  EXPECT_EQ(text.find_first_not_of("0123456789abcdef-"), std::string::npos);
  EXPECT_NE(text, make_traceparent(random));
}

}  // namespace
}  // namespace gantry::proxy

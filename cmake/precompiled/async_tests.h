// As async.h, for test programs.
#pragma once

#include <gtest/gtest.h>

#include "async.h"

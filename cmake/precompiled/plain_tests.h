// As plain.h, for test programs.
#pragma once

#include <gtest/gtest.h>

#include "plain.h"

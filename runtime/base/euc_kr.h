/* Which characters EUC-KR (ASCII and KS X 1001) can hold. Pure; any thread. */
#ifndef TIDEGATE_BASE_EUC_KR_H
#define TIDEGATE_BASE_EUC_KR_H

#include <stdbool.h>
#include <stdint.h>

bool euc_kr_has(uint32_t code_point);

#endif

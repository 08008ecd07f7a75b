WITH jobs AS ({jobs} AND {guard} RETURNING 1) {count}

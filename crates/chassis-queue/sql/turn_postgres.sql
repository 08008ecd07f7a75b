WITH {ended}, answers AS ({answers}),
  started AS ({start} WHERE id = ANY (ARRAY(({claims}
  ))) RETURNING *)
SELECT {all} FROM started AS job

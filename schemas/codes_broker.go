package schemas

func configCodes() []Entry { return nil }
func recordCodes() []Entry { return nil }
